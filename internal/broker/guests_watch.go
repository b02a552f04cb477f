package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

// tickGuests lets go of participants whose time is up: who did not come, or not back, who asked and got no answer, and who
// was in a session that is over.
func (s *Service) tickGuests(ctx context.Context, now time.Time) error {
	var rows []store.Participant
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		rows, err = tx.ListGuestsOfNode(ctx, s.node)
		return err
	})
	if err != nil {
		return fmt.Errorf("list participants: %w", err)
	}
	var errs []error
	for _, p := range rows {
		errs = append(errs, s.expireGuest(ctx, p, now))
	}
	return errors.Join(append(errs, s.sharesOver(ctx, now))...)
}

// sharesOver decides again about those with whom a session was shared until a moment ago.
func (s *Service) sharesOver(ctx context.Context, now time.Time) error {
	var orgs []sess.OrgID
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		orgs, err = tx.ListOrgsOfSharesOver(ctx, s.node, store.Micros(now.Add(-sharesLook)), store.Micros(now))
		return err
	})
	if err != nil {
		return fmt.Errorf("look for shares that ran out: %w", err)
	}
	var errs []error
	for _, org := range orgs {
		errs = append(errs, s.againGuests(ctx, org))
	}
	return errors.Join(errs...)
}

// guestDue says why a participant's time is up; empty: it is not.
func (s *Service) guestDue(r store.Session, p store.Participant, now time.Time) string {
	past := func(from int64, d time.Duration) bool { return !now.Before(s.from(from).Add(d)) }
	switch {
	case r.State == sess.StateEnded && !tail(r, now):
		return leftEnded
	case p.AskedAt != nil && p.AnsweredAt == nil:
		if past(*p.AskedAt, answerTime) {
			return leftNoWord
		}
	case p.JoinedAt == nil && past(p.CreatedAt, sess.TicketTTL):
		return leftAway
	case p.AwayAt != nil && past(*p.AwayAt, guestGrace):
		return leftAway
	case p.HereAt != nil && !store.Time(*p.HereAt).After(s.born) && past(*p.HereAt, guestGrace): // connected to the server before this one
		return leftAway
	}
	return ""
}

func (s *Service) expireGuest(ctx context.Context, was store.Participant, now time.Time) error {
	told := ""
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		told = ""
		r, p, err := lockGuest(ctx, tx, was.Org, was.Session, was.Num)
		if err != nil {
			return err
		}
		why := s.guestDue(*r, *p, now)
		if why == "" || p.LeftAt != nil {
			return nil
		}
		if p.JoinedAt != nil && why != leftEnded {
			told = p.UserName + " left"
		}
		return s.letGo(ctx, tx, *r, p, why, sess.System(was.Org), "")
	})
	if err != nil {
		return fmt.Errorf("let go of a participant: %w", err)
	}
	s.answers.tell(was.Session, was.Num)
	s.notice(was.Session, told)
	return s.moderatorLeft(ctx, was)
}

// withdrawGuest puts a participant out whose right to be there went away.
func (s *Service) withdrawGuest(ctx context.Context, was store.Participant, end wire.EndFrame) error {
	reason, done := end.Message, false
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		done = false
		r, p, err := lockGuest(ctx, tx, was.Org, was.Session, was.Num)
		if err != nil {
			return err
		}
		if p.LeftAt != nil {
			return nil
		}
		done = true
		return s.letGo(ctx, tx, *r, p, leftRevoked, sess.System(was.Org), reason)
	})
	if err != nil {
		return fmt.Errorf("put a participant out: %w", err)
	}
	if done {
		s.putOut(was, end)
		if was.JoinedAt != nil {
			s.notice(was.Session, was.UserName+" was put out: "+reason)
		}
	}
	return s.moderatorLeft(ctx, was)
}

// putOut cuts a participant's connection, and ends the wait of one who asks.
func (s *Service) putOut(p store.Participant, f wire.EndFrame) {
	if s.relay != nil {
		s.relay.Dismiss(p.Session, uint16(p.Num), f) //nolint:gosec // at most MaxParticipants
	}
	s.answers.tell(p.Session, p.Num)
}

// withdrawGuests puts out all whom list gives.
func (s *Service) withdrawGuests(ctx context.Context, reason string, list func(*store.Tx) ([]store.Participant, error)) error {
	var rows []store.Participant
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		rows, err = list(tx)
		return err
	})
	if err != nil {
		return fmt.Errorf("list participants to put out: %w", err)
	}
	var errs []error
	for _, p := range rows {
		errs = append(errs, s.withdrawGuest(ctx, p, wire.EndFrame{Reason: sess.EndRevoked, Message: reason}))
	}
	return errors.Join(errs...)
}

func (s *Service) withdrawGuestsOfUser(ctx context.Context, org sess.OrgID, user sess.UserID, reason string) error {
	return s.withdrawGuests(ctx, reason, func(tx *store.Tx) ([]store.Participant, error) { return tx.ListGuestsOfUser(ctx, org, user) })
}

// againGuests decides again about the participants of an organisation's live sessions here, as when they joined, but by
// what holds now, and puts out who is allowed no more.
func (s *Service) againGuests(ctx context.Context, org sess.OrgID) error {
	var gone []store.Participant
	var ends []wire.EndFrame
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		gone, ends = nil, nil
		rows, err := tx.ListGuestsOfOrg(ctx, org, s.node)
		if err != nil {
			return fmt.Errorf("list participants: %w", err)
		}
		again := s.gate.Again(tx)
		for _, p := range rows {
			d, err := s.againGuest(ctx, tx, again, p)
			if err != nil {
				return err
			}
			if !d.Allowed {
				gone, ends = append(gone, p), append(ends, guestEnd(p, d))
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("decide about participants again: %w", err)
	}
	var errs []error
	for i, p := range gone {
		errs = append(errs, s.withdrawGuest(ctx, p, ends[i]))
	}
	return errors.Join(errs...)
}

// guestEnd says to a participant why they may be there no more.
func guestEnd(p store.Participant, d policy.Decision) wire.EndFrame {
	switch {
	case d.Lock != nil:
		return wire.EndFrame{Reason: sess.EndLocked, Message: gate.WhatIsLocked(*d.Lock)}
	case len(d.Rules)+len(d.Failed) > 0:
		return wire.EndFrame{Reason: sess.EndRevoked, Message: "a rule of the organisation forbids it to " + p.UserName + " now"}
	}
	return wire.EndFrame{Reason: sess.EndRevoked, Message: "nothing lets " + p.UserName + " be in it any more"}
}

func (s *Service) againGuest(ctx context.Context, tx *store.Tx, again *gate.Again, p store.Participant) (policy.Decision, error) {
	r, err := tx.GetSession(ctx, p.Org, p.Session)
	if err != nil {
		return policy.Decision{}, fmt.Errorf("load session: %w", err)
	}
	on, err := s.sharedResource(ctx, tx, r, p.UserID, guestAction(p))
	if err != nil {
		return policy.Decision{}, err
	}
	on.Began = p.CreatedAt
	inst, err := tx.GetLiveInstance(ctx, r.Org, r.Instance)
	if err == nil {
		var thing policy.Resource
		if thing, err = instanceResource(ctx, tx, inst); err == nil {
			on.Labels, on.Region = thing.Labels, thing.Region
		}
	}
	if err != nil && !isNotFound(err) {
		return policy.Decision{}, fmt.Errorf("load instance: %w", err)
	}
	return again.Decide(ctx, guestPrincipal(p), guestAction(p), on)
}
