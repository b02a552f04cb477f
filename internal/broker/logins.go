package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// loginUse is how often at most the use of a login is noted.
const loginUse = time.Minute

// useLogins notes that logins are used by whose sessions somebody types at a terminal: who works in a shell is not logged out for
// want of other calls. A login that was over before stays over, whatever is typed then; output, and commands that run by
// themselves, are no use.
func (s *Service) useLogins(ctx context.Context) error {
	now := s.now()
	typed := s.lives.typedSince(now.Add(-loginUse))
	for len(typed) > 0 {
		batch := typed[:min(len(typed), maxTouched)]
		typed = typed[len(batch):]
		err := s.db.Write(ctx, func(tx *store.Tx) error {
			for _, x := range batch {
				if err := useLogin(ctx, tx, x, now); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("note use of logins: %w", err)
		}
	}
	return nil
}

func useLogin(ctx context.Context, tx *store.Tx, x life, now time.Time) error {
	r, err := tx.GetSession(ctx, x.org, x.id)
	if isNotFound(err) || err == nil && r.Credential != sess.CredentialLogin {
		return nil
	}
	if err != nil {
		return err
	}
	o, err := tx.GetOrg(ctx, x.org)
	if err != nil {
		return err
	}
	st, err := sess.ParseSettings(o.Settings)
	if err != nil {
		return err
	}
	_, err = tx.UseLogin(ctx, store.UseLoginParams{
		Org: x.org, ID: sess.LoginID(r.CredentialID), Now: store.Micros(now), Older: store.Micros(now.Add(-loginUse)), After: store.Micros(now.Add(-st.Idle())),
	})
	return err
}

// typedSince gives the sessions at whose terminal their owner, who is there, typed something since a moment. What peers type is
// no use of the owner's login.
func (l *lives) typedSince(t time.Time) []life {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []life
	for _, x := range l.all {
		if x.tty && !x.key && x.client && x.state == sess.StateActive && x.ownAt.After(t) {
			out = append(out, *x)
		}
	}
	return out
}
