package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// A session that needs moderators stands still without them: the relay sees to that, and says so here. Until when it may is
// in the session's row, so that no restart gives it more time, and the clock of all sessions ends it then (expired).

// Moderated is the relay's word on a session that needs moderators: how many are lacking, so that it stands still, or 0, so
// that it goes on. The relay says so when that changes, and when the owner comes back.
func (s *Service) Moderated(ctx context.Context, org sess.OrgID, id sess.SessionID, lacking int) error {
	told := ""
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		told = ""
		r, err := lock(ctx, tx, org, id)
		if err != nil {
			return err
		}
		stood := r.UnmoderatedUntil != nil
		switch {
		case r.State == sess.StateEnded, lacking == 0 && !stood:
			return nil
		case lacking == 0:
			r.UnmoderatedUntil, told = nil, "a moderator is here: the session goes on"
		case !stood:
			wait, err := s.moderatorWait(ctx, tx, *r)
			if err != nil {
				return err
			}
			until := store.Micros(s.now().Add(wait))
			r.UnmoderatedUntil = &until
		}
		if lacking > 0 {
			told = s.waitText(*r, lacking)
		}
		if stood == (lacking > 0) {
			return nil // no news but for the owner
		}
		if err := tx.SetUnmoderated(ctx, org, id, r.UnmoderatedUntil); err != nil {
			return fmt.Errorf("note the wait for moderators: %w", err)
		}
		act := policy.SessionPaused
		if lacking == 0 {
			act = policy.SessionContinued
		}
		return s.gate.Event(ctx, tx, gate.Entry{Who: sess.System(r.Org), Action: act, On: sessionResource(*r), Session: id})
	})
	if err != nil {
		return fmt.Errorf("note moderation: %w", err)
	}
	s.notice(id, told)
	return nil
}

// moderatorWait is for how long a session that begins to stand still does so. Where it is to end when a moderator leaves, and
// one did not say so but is not connected, they have as long as any guest to come back.
func (s *Service) moderatorWait(ctx context.Context, tx *store.Tx, r store.Session) (time.Duration, error) {
	c := controls(r)
	wait := c.ModWait()
	if !c.EndUnmoderated {
		return wait, nil
	}
	rows, err := tx.ListParticipants(ctx, r.Org, r.ID)
	if err != nil {
		return 0, fmt.Errorf("list participants: %w", err)
	}
	for _, p := range rows {
		if p.Role == sess.JoinModerator && p.JoinedAt != nil {
			return min(wait, guestGrace), nil
		}
	}
	return wait, nil // it has not begun
}

func (s *Service) waitText(r store.Session, lacking int) string {
	whom := "a moderator"
	if lacking > 1 {
		whom = fmt.Sprintf("%d moderators", lacking)
	}
	left := max(time.Second, store.Time(*r.UnmoderatedUntil).Sub(s.now())).Round(time.Second)
	return fmt.Sprintf("waiting for %s (sessctl join %s --moderate), ends in %s without", whom, r.ID, sess.FormatDuration(left))
}

// unmoderated reports whether a session has stood still for as long as it may. A server that begins leaves moderators the time
// to come back to it.
func (s *Service) unmoderated(r store.Session, now time.Time) bool {
	return r.UnmoderatedUntil != nil && !now.Before(store.Time(*r.UnmoderatedUntil)) && !now.Before(s.born.Add(min(guestGrace, controls(r).ModWait())))
}

// moderatorLeft ends a session that is to end with the going of a moderator whom it needs, when p was one.
func (s *Service) moderatorLeft(ctx context.Context, p store.Participant) error {
	if p.Role != sess.JoinModerator {
		return nil
	}
	var r store.Session
	var rows []store.Participant
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		var err error
		if r, err = tx.GetSession(ctx, p.Org, p.Session); err != nil {
			return err
		}
		rows, err = tx.ListParticipants(ctx, p.Org, p.Session)
		return err
	})
	if err != nil {
		return fmt.Errorf("count moderators: %w", err)
	}
	for _, x := range rows {
		if x.Num == p.Num {
			p = x
		}
	}
	c := controls(r)
	if r.State == sess.StateEnded || !c.EndUnmoderated || p.JoinedAt == nil || p.LeftAt == nil {
		return nil
	}
	var before, here int64 // moderators: with p, and now; another may have gone in the same instant
	for _, x := range rows {
		switch {
		case x.Role != sess.JoinModerator || x.JoinedAt == nil:
		case x.LeftAt == nil:
			before++
			here++
		case *x.LeftAt >= *p.LeftAt:
			before++
		}
	}
	if before < c.Moderators || here >= c.Moderators {
		return nil // it stood still before, or runs on
	}
	e := ending{reason: sess.EndUnmoderated, message: p.UserName + " left, who moderated it", who: sess.System(p.Org), stop: true}
	return s.endIf(ctx, p.Org, p.Session, e, nil)
}
