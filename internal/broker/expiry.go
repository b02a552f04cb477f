package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

const (
	tickEvery  = time.Second
	touchEvery = 30 // ticks between notes of signs of life
	purgeEvery = 600
	// ownerSlack is how long a session stays active after a restart, until its owner's client is back.
	ownerSlack = 30 * time.Second
	// stale is the age at which no session is pending any more.
	stale = sess.TicketTTL + time.Minute
	// paramsKept is how long the parameters of an ended session are kept: they may hold secrets.
	paramsKept = time.Hour
)

// Run ends what has run out, every second, and what is allowed no more, until ctx ends; it returns nil then. What goes wrong is logged and tried again
// a second later.
func (s *Service) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.watch(ctx) })
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		err := s.tick(ctx)
		if n%touchEvery == 0 {
			err = errors.Join(err, s.touch(ctx), s.reconcile(ctx), s.useLogins(ctx))
		}
		if n%purgeEvery == 0 {
			err = errors.Join(err, s.purge(ctx))
		}
		if err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "expiry", "err", err)
		}
	}
}

// tick ends what has run out by now.
func (s *Service) tick(ctx context.Context) error {
	now := s.now()
	var due, keyless []store.Session
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		var err error
		if due, err = tx.ListExpiredSessionsOfNode(ctx, s.node, store.Micros(now.Add(-sess.StartTimeout)), store.Micros(now)); err != nil {
			return err
		}
		keyless, err = tx.ListSessionsOfDeadKeys(ctx, s.node, store.Micros(now))
		return err
	})
	if err != nil {
		return fmt.Errorf("list expired sessions: %w", err)
	}
	var errs []error
	for _, r := range due {
		if s.expired(r, now) != "" {
			errs = append(errs, s.expire(ctx, r.Org, r.ID, now))
		}
	}
	for _, r := range keyless {
		errs = append(errs, s.endKeyless(ctx, r))
	}
	errs = append(errs, s.sweep(ctx), s.clock(ctx, now))
	for _, x := range s.lives.list() {
		errs = append(errs, s.attend(ctx, x, now))
	}
	errs = append(errs, s.tickGuests(ctx, now))
	return errors.Join(errs...)
}

// expire ends a session whose time is up, if it still is.
func (s *Service) expire(ctx context.Context, org sess.OrgID, id sess.SessionID, now time.Time) error {
	e := ending{who: sess.System(org), stop: true}
	err := s.endIf(ctx, org, id, e, func(r *store.Session) (ending, error) {
		e.reason = s.expired(*r, now)
		if e.reason == "" || r.Node != s.node {
			return e, errNotNow
		}
		e.soft = e.reason == sess.EndDetached
		if e.reason == sess.EndUnmoderated {
			e.message = "nobody came for " + sess.FormatDuration(controls(*r).ModWait())
		}
		return e, nil
	})
	if errors.Is(err, errNotNow) {
		return nil
	}
	return err
}

// endKeyless ends a session whose API key ran out, or was deleted through another server, if that key is still its own.
func (s *Service) endKeyless(ctx context.Context, was store.Session) error {
	e := ending{reason: sess.EndRevoked, message: "the API key it was started with ran out or was deleted", who: sess.System(was.Org), stop: true}
	err := s.endIf(ctx, was.Org, was.ID, e, func(r *store.Session) (ending, error) {
		if r.Node != s.node || r.CredentialID != was.CredentialID {
			return e, errNotNow
		}
		return e, nil
	})
	if errors.Is(err, errNotNow) {
		return nil
	}
	return err
}

// expired says why a session's time is up by the clock; empty: it is not.
func (s *Service) expired(r store.Session, now time.Time) sess.EndReason {
	past := func(from int64, d time.Duration) bool { return !now.Before(s.from(from).Add(d)) }
	switch {
	case r.State == sess.StatePending && r.StartedAt == nil && past(r.CreatedAt, sess.StartTimeout):
		return sess.EndNoAgent
	case r.State == sess.StatePending && r.OwnerAt == nil && past(r.CreatedAt, ownerTime(r)):
		return sess.EndNoClient
	case r.State == sess.StateDetached && r.DetachedAt != nil && past(*r.DetachedAt, grace(r)):
		return sess.EndDetached
	case r.State != sess.StateEnded && s.unmoderated(r, now):
		return sess.EndUnmoderated
	}
	return ""
}

// ownerTime is how long a client may take to come, from the start on: one that died before it came holds the session, and a place
// among its owner's, no longer than one that died after.
func ownerTime(r store.Session) time.Duration {
	return min(sess.TicketTTL, sess.StartTimeout+grace(r))
}

// from gives the time from which something is counted: none is counted while this server was away.
func (s *Service) from(us int64) time.Time {
	if t := store.Time(us); t.After(s.born) {
		return t
	}
	return s.born
}

// attend does for one session what the clock and the rows alone can't tell.
func (s *Service) attend(ctx context.Context, x life, now time.Time) error {
	link := s.links.get(x.instance)
	switch {
	case x.state == sess.StateEnded:
		return s.attendTail(ctx, x, link, now)
	case x.state == sess.StateActive && !x.client && now.Sub(x.clientAt) >= ownerSlack:
		return s.noteAway(ctx, x, now)
	case x.state == sess.StatePending:
		if now.Sub(x.clientAt) < stale {
			return nil
		}
		return s.refresh(ctx, x)
	case x.agent || link != nil:
		return nil
	}
	gone := x.agentAt
	if at := s.links.since(x.instance); at.After(gone) {
		gone = at
	}
	limit, name := x.grace, "grace"
	if x.lease < limit { // its agent has ended it by now
		limit, name = x.lease, "lease"
	}
	if now.Sub(gone) < limit {
		return nil
	}
	e := ending{reason: sess.EndAgentGone, who: sess.System(x.org), message: fmt.Sprintf("its %s is %s", name, sess.FormatDuration(limit))}
	err := s.endIf(ctx, x.org, x.id, e, func(r *store.Session) (ending, error) {
		if r.Node != s.node {
			s.lives.drop(x.id)
			return e, errNotNow
		}
		return e, nil
	})
	if errors.Is(err, errNotNow) {
		return nil
	}
	return err
}

// attendTail stops waiting for the last output of a session: nobody fetched it in time, or its agent has it no more.
func (s *Service) attendTail(ctx context.Context, x life, link *agentLink, now time.Time) error {
	late := !now.Before(x.endedAt.Add(x.grace))
	lost := link != nil && !x.agent && !link.holds(x.id)
	if !late && !lost {
		return nil
	}
	var r store.Session
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		var err error
		r, err = tx.GetSession(ctx, x.org, x.id)
		return err
	})
	if err != nil {
		return fmt.Errorf("load ended session: %w", err)
	}
	s.lives.drop(x.id)
	if r.EndReason != sess.EndExit { // carryOut cuts it
		return nil
	}
	s.cut(r)
	if link != nil {
		link.release(x.id)
		link.send(wire.Control{T: wire.ControlEnded, Session: x.id})
	}
	return nil
}

// refresh looks up what became of a session that ended while its start was still being noted here.
func (s *Service) refresh(ctx context.Context, x life) error {
	return s.db.Read(ctx, func(tx *store.Tx) error {
		r, err := tx.GetSession(ctx, x.org, x.id)
		if err != nil {
			return fmt.Errorf("load session: %w", err)
		}
		s.settle(r)
		return nil
	})
}

// noteAway says of a session whose owner was connected to the server before this one, and did not come back, that it is
// detached: since this server began.
func (s *Service) noteAway(ctx context.Context, x life, now time.Time) error {
	var after store.Session
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		r, err := lock(ctx, tx, x.org, x.id)
		if err != nil {
			return err
		}
		after = *r
		if r.State != sess.StateActive || r.Node != s.node {
			return nil
		}
		us := store.Micros(x.clientAt)
		r.State, r.DetachedAt = sess.StateDetached, &us
		after = *r
		if err := save(ctx, tx, r); err != nil {
			return err
		}
		return s.gate.Event(ctx, tx, gate.Entry{
			Who: s.actor(*r), Action: policy.SessionDetached, On: sessionResource(*r), Session: r.ID, Time: now,
		})
	})
	if err != nil {
		return fmt.Errorf("note absence: %w", err)
	}
	if after.Node != s.node {
		s.lives.drop(x.id)
		return nil
	}
	s.lives.update(after, s.now())
	return nil
}

// purge deletes what serves nobody any more: old tickets, nonces and parameters.
func (s *Service) purge(ctx context.Context) error {
	now := s.now()
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.PurgeTickets(ctx, store.Micros(now)); err != nil {
			return fmt.Errorf("tickets: %w", err)
		}
		before := store.Micros(now.Add(-paramsKept))
		if _, err := tx.PurgeResumeNonces(ctx, &before); err != nil {
			return fmt.Errorf("nonces: %w", err)
		}
		if _, err := tx.PurgeSessionParams(ctx, &before); err != nil {
			return fmt.Errorf("parameters: %w", err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("purge: %w", err)
	}
	return nil
}
