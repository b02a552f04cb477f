package broker

import (
	"context"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Tick, Touch and Purge are what Run does, for tests that turn the clock.
func Tick(ctx context.Context, s *Service) error  { return s.tick(ctx) }
func Touch(ctx context.Context, s *Service) error { return s.touch(ctx) }
func Purge(ctx context.Context, s *Service) error { return s.purge(ctx) }

// Online reports whether the server holds a control link of the instance.
func Online(s *Service, i sess.InstanceID) bool { return s.links.get(i) != nil }

// StillThere is what ServeAgent asks once a link is the present one of its instance.
func StillThere(ctx context.Context, s *Service, org sess.OrgID, i sess.InstanceID, c ControlConn) error {
	return s.stillThere(ctx, &agentLink{org: org, instance: i, conn: c})
}

// Recheck is what a change of rules, or the minute (every), sets off.
func Recheck(ctx context.Context, s *Service, every bool) error { return s.recheck(ctx, every) }

// Save writes back a row that the transaction holds.
func Save(ctx context.Context, tx *store.Tx, r *store.Session) error { return save(ctx, tx, r) }

// Looking reports whether the live sessions of an organisation are being looked at again.
func Looking(s *Service, org sess.OrgID) bool {
	s.looked.mu.Lock()
	defer s.looked.mu.Unlock()
	return s.looked.busy[org]
}

// UseLogins is what Run does now and then about logins.
func UseLogins(ctx context.Context, s *Service) error { return s.useLogins(ctx) }

// Reconcile is what Run does now and then about connections.
func Reconcile(ctx context.Context, s *Service) error { return s.reconcile(ctx) }

// Forget has the server not know of a session's connections, whose rows stay.
func Forget(s *Service, id sess.SessionID) { s.conns.forget(id) }

// LeftWith is Left in a context that is over.
func LeftWith(ctx context.Context, s *Service, j Joined) {
	key := connKey{j.Org, j.Session, 0}
	if s.conns.leave(key, int64(j.ClientGen)) {
		_ = s.disconnect(ctx, key, int64(j.ClientGen))
	}
}

// ClearOld is what DeleteOld does now and then.
func ClearOld(ctx context.Context, s *Service, remove Files) error { return s.clearOld(ctx, remove) }
