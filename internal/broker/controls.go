package broker

import (
	"context"
	"fmt"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// noControls is what the column says of a session that nothing limits.
const noControls = "{}"

// controls gives the controls that hold for a session. A row that somebody wrote by hand and that can't be read limits
// nothing.
func controls(r store.Session) sess.Effective {
	e, err := sess.ParseEffective(r.Controls)
	if err != nil {
		return sess.Effective{}
	}
	return e
}

// shownControls are those for people; nil: nothing limits the session.
func shownControls(r store.Session) *sess.Effective {
	if r.Controls == "" || r.Controls == noControls {
		return nil
	}
	e := controls(r)
	return &e
}

// hold has controls hold for a session.
func hold(r *store.Session, e sess.Effective) {
	r.Controls, r.GraceMS = e.Text(), e.Grace(r.Kind).Milliseconds()
}

// control decides about a start by controls, and has them hold for the session. It reports whether it may go on; if not, the
// refusal is the outcome.
func (s *Service) control(ctx context.Context, tx *gate.Tx, r *store.Session, on policy.Resource) (bool, error) {
	e := tx.Rules().Controls(tx.Grants(), on)
	refused, err := mayStart(ctx, tx, *r, on, e)
	switch {
	case err != nil:
		return false, err
	case refused != nil:
		tx.Reject(refused)
		return false, nil
	}
	hold(r, e)
	r.LeaseMS = e.Lease(r.Kind).Milliseconds()
	return true, nil
}

// tighten gives a session's controls with those of now where they are stricter; false: none is. A grace is never made
// longer than the session began with.
func tighten(r store.Session, now sess.Effective) (sess.Effective, bool) {
	e := controls(r)
	if now.Grace(r.Kind) >= grace(r) {
		now.GraceSeconds = 0
	}
	return e, e.Tighten(now)
}

// tightened has stricter controls hold for a session that runs.
func (s *Service) tightened(ctx context.Context, t tighter) error {
	var after store.Session
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		r, err := lock(ctx, tx, t.row.Org, t.row.ID)
		if err != nil {
			return err
		}
		after = *r
		e, ok := tighten(*r, t.now)
		if !ok || r.State == sess.StateEnded || r.Node != s.node {
			return nil
		}
		hold(r, e)
		after = *r
		return saveControls(ctx, tx, r)
	})
	if err != nil {
		return fmt.Errorf("tighten controls: %w", err)
	}
	s.lives.update(after, s.now())
	s.moderate(after)
	return nil
}

// moderate has the relay know how many moderators a session that lives needs.
func (s *Service) moderate(r store.Session) {
	if n := controls(r).Moderators; n > 0 && s.relay != nil && r.State != sess.StateEnded {
		s.relay.Moderate(r.ID, int(n))
	}
}

// saveControls writes the controls of a session that the transaction holds or has just inserted.
func saveControls(ctx context.Context, tx *store.Tx, r *store.Session) error {
	if r.Controls == noControls {
		return nil
	}
	if err := tx.SetSessionControls(ctx, r.Org, r.ID, r.Controls, r.GraceMS); err != nil {
		return fmt.Errorf("save controls: %w", err)
	}
	return nil
}
