package broker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	// watchEvery is how often a node asks whether the rules of organisations with live sessions changed, also by another
	// node. With the end of a session it stays under a second.
	watchEvery = 250 * time.Millisecond
	// watchAll is how often live sessions are looked at though no rule changed: some rules depend on the time of day.
	watchAll = time.Minute
)

// secondLook is how long after a change live sessions are looked at once more: what was decided just before a change may be
// committed just after it, by this node or another.
const secondLook = 500 * time.Millisecond

// maxRechecks bounds how many organisations are looked at at a time. Each is by itself: one whose rules take long to decide
// by must not hold up the others.
const maxRechecks = 16

// looked is by which version of their organisation's rules live sessions were looked at last.
type looked struct {
	places chan struct{} // maxRechecks

	mu   sync.Mutex // protects the following
	by   map[sess.OrgID]int64
	busy map[sess.OrgID]bool      // being looked at now
	owed map[sess.OrgID]bool      // to be looked at once more, when that is done
	next map[sess.OrgID]time.Time // when to take the second look after a change
}

func newLooked() *looked {
	return &looked{places: make(chan struct{}, maxRechecks), by: map[sess.OrgID]int64{}, busy: map[sess.OrgID]bool{}, owed: map[sess.OrgID]bool{}, next: map[sess.OrgID]time.Time{}}
}

// begin reports whether an organisation is to be looked at now; the caller does so then, and calls end.
func (l *looked) begin(org sess.OrgID, version int64, every bool, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy[org] {
		l.owed[org] = l.owed[org] || every
		return false
	}
	next, again := l.next[org]
	again = again && !now.Before(next)
	by, ok := l.by[org]
	if ok && by == version && !every && !l.owed[org] && !again {
		return false
	}
	if !ok || by != version {
		l.next[org] = now.Add(secondLook)
	} else if again {
		delete(l.next, org)
	}
	l.busy[org] = true
	delete(l.owed, org)
	return true
}

func (l *looked) end(org sess.OrgID, version int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.busy, org)
	if err == nil {
		l.by[org] = version
	}
}

// RulesChanged tells the broker that what decides changed by a transaction of this server, so that it need not wait until it
// looks. It does not block.
func (s *Service) RulesChanged() {
	select {
	case s.changes <- struct{}{}:
	default: // it is told already
	}
}

// watch looks at live sessions again whenever what decided about them may have changed, until ctx ends.
func (s *Service) watch(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	failed := func(err error) {
		if err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "look at live sessions again", "err", err)
		}
	}
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	all := s.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-s.changes:
		}
		now := s.now()
		every := now.Sub(all) >= watchAll
		err := s.lookAgain(ctx, every, &wg, failed)
		failed(err)
		if err == nil && every {
			all = now
		}
	}
}

// recheck looks again at the sessions of organisations whose rules changed, or of all, and waits until it is done.
func (s *Service) recheck(ctx context.Context, every bool) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	err := s.lookAgain(ctx, every, &wg, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
	})
	wg.Wait()
	return errors.Join(append(errs, err)...)
}

// lookAgain begins to look again at the sessions of organisations whose rules changed, or of all, each in a goroutine of wg.
func (s *Service) lookAgain(ctx context.Context, every bool, wg *sync.WaitGroup, failed func(error)) error {
	if !s.lives.any() {
		return nil
	}
	var orgs []store.ListRulesOfNodeRow
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		var err error
		orgs, err = tx.ListRulesOfNode(ctx, s.node)
		return err
	})
	if err != nil {
		return fmt.Errorf("look for changed rules: %w", err)
	}
	for _, o := range orgs {
		if !s.looked.begin(o.ID, o.Rules, every, s.now()) {
			continue
		}
		wg.Go(func() {
			err := s.inPlace(ctx, o.ID)
			s.looked.end(o.ID, o.Rules, err)
			if err != nil {
				failed(err)
			}
		})
	}
	return nil
}

// inPlace is recheckOrg, when there is a place.
func (s *Service) inPlace(ctx context.Context, org sess.OrgID) error {
	select {
	case s.looked.places <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait to look at live sessions again: %w", ctx.Err())
	}
	defer func() { <-s.looked.places }()
	return s.recheckOrg(ctx, org)
}

// tighter is a session for which stricter controls hold now.
type tighter struct {
	row store.Session
	now sess.Effective
}

// withdrawn is a session that is allowed no more.
type withdrawn struct {
	row  store.Session
	why  policy.Decision
	lock *policy.Lock // it is locked; else nil
}

// recheckOrg decides again about the sessions of an organisation that this node looks after, ends what is allowed no more,
// and has the controls of now hold for the others where they are stricter.
func (s *Service) recheckOrg(ctx context.Context, org sess.OrgID) error {
	if err := s.endLocked(ctx, org); err != nil {
		return err
	}
	guests := s.againGuests(ctx, org) // few, and who watches another's session waits no longer for a lock than its owner
	var gone []withdrawn
	var tight []tighter
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.ListLiveSessionsOfOrg(ctx, org, s.node)
		if err != nil {
			return fmt.Errorf("list live sessions: %w", err)
		}
		again := s.gate.Again(tx)
		for _, r := range rows {
			d, err := s.again(ctx, tx, again, r)
			if err != nil {
				return err
			}
			if !d.Allowed {
				gone = append(gone, withdrawn{row: r, why: d, lock: d.Lock})
				continue
			}
			now := again.Controls(r.UserID, policy.Resource{Org: r.Org, Project: r.Project, Type: policy.TypeInstance, Instance: r.Instance})
			if _, ok := tighten(r, now); ok {
				tight = append(tight, tighter{r, now})
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("decide about live sessions again: %w", err)
	}
	errs := []error{guests, s.withdrawAll(ctx, gone)}
	for _, t := range tight {
		errs = append(errs, s.tightened(ctx, t))
	}
	return errors.Join(errs...)
}

// again decides as at the start of a session: the same address, kind, user and reason, and a second factor as old as it was
// then; but by the roles, groups, labels and rules of now.
func (s *Service) again(ctx context.Context, tx *store.Tx, again *gate.Again, r store.Session) (policy.Decision, error) {
	inst, err := tx.GetLiveInstance(ctx, r.Org, r.Instance)
	if isNotFound(err) {
		return policy.Decision{Allowed: true}, nil // OnInstanceRemoved ends it, and says so
	} else if err != nil {
		return policy.Decision{}, fmt.Errorf("load instance: %w", err)
	}
	on, err := instanceResource(ctx, tx, inst)
	if err != nil {
		return policy.Decision{}, err
	}
	on.SessionKind, on.OSUser, on.Reason, on.Began = r.Kind, r.OSUser, r.Reason, r.CreatedAt
	who := owner(r)
	if a, err := netip.ParseAddr(r.ClientAddr); err == nil {
		who.Addr = a
	}
	return again.Decide(ctx, who, policy.SessionStart, on)
}

// whyWithdrawn says in words why a session is allowed no more, without what the organisation's rules say.
func whyWithdrawn(w withdrawn) string {
	switch {
	case w.lock != nil:
		return gate.WhatIsLocked(*w.lock)
	case slices.Contains(w.why.Rules, policy.RuleSessionsOff):
		return "the Session Manager of the organisation was turned off"
	case w.why.Limit != "":
		return w.why.Limit
	case len(w.why.Failed) > 0:
		return "a rule of the organisation could not be evaluated"
	case len(w.why.Rules) > 0:
		return "a rule of the organisation forbids " + w.row.InstanceName + " to " + w.row.UserName + " now"
	}
	return "nothing lets " + w.row.UserName + " use " + w.row.InstanceName + " any more"
}
