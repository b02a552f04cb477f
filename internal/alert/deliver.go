package alert

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/outbound"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	maxDeliveries = 64 // webhooks that are told at once
	// maxOfOrg bounds those of one organisation among them: receivers that take their time hold up their own organisation.
	maxOfOrg = 4
	maxDue   = 4 * maxDeliveries // that are looked at for some to tell
	maxPosts = 50                // alerts of one delivery
	// claimFor is how long a node has a webhook for itself: longer than a delivery takes. A node that dies meanwhile leaves it until then.
	claimFor     = 30 * time.Second
	postTimeout  = 20 * time.Second // for all of one delivery
	writeTimeout = 5 * time.Second  // for what is still written when the server stops
	stalledAfter = 5                // failures in a row that are put on record
)

// deliveries are the webhooks that this node tells at this moment.
type deliveries struct {
	s  *Service
	wg sync.WaitGroup

	mu      sync.Mutex // protects the following
	running map[string]bool
	of      map[sess.OrgID]int // how many
}

func newDeliveries(s *Service) *deliveries {
	return &deliveries{s: s, running: map[string]bool{}, of: map[sess.OrgID]int{}}
}

func (d *deliveries) wait() { d.wg.Wait() }

// start begins to tell the webhooks that wait: first those of organisations that have none being told, then of those that have
// one, and so on; of each those that have waited for longest.
func (d *deliveries) start(ctx context.Context) error {
	var rows []store.AlertHook
	now := store.Micros(d.s.Now())
	err := d.s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		rows, err = tx.ListAlertHooksDue(ctx, now, maxDue)
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return fmt.Errorf("list webhooks to tell: %w", err)
	}
	for beside := range maxOfOrg {
		for _, h := range rows {
			if d.claim(h, beside) {
				d.wg.Go(func() { d.tell(ctx, h) })
			}
		}
	}
	return nil
}

func (d *deliveries) tell(ctx context.Context, h store.AlertHook) {
	defer d.done(h)
	if err := d.s.deliver(ctx, h); err != nil && ctx.Err() == nil {
		d.s.Log.ErrorContext(ctx, "alert webhook", "org", string(h.Org), "hook", h.ID, "err", err)
	}
}

// claim takes a place for a webhook, if there is one and its organisation has no more than some beside it.

func (d *deliveries) claim(h store.AlertHook, beside int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running[h.ID] || len(d.running) >= maxDeliveries || d.of[h.Org] > beside {
		return false
	}
	d.running[h.ID] = true
	d.of[h.Org]++
	return true
}

func (d *deliveries) done(h store.AlertHook) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.running, h.ID)
	if d.of[h.Org]--; d.of[h.Org] == 0 {
		delete(d.of, h.Org)
	}
}

// deliver tells one webhook what it waits for, in order, and moves its cursor behind what it took. The queue is the rows: in memory
// are maxPosts of them at most.
func (s *Service) deliver(ctx context.Context, h store.AlertHook) error {
	var alerts []store.Alert
	until := store.Micros(s.Now().Add(claimFor))
	mine := false
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.ClaimAlertHook(ctx, h.Org, h.ID, until, h.RetryAt)
		if mine = n > 0; err != nil || !mine {
			return err //nolint:wrapcheck // wrapped below
		}
		alerts, err = tx.ListAlerts(ctx, h.Org, h.NextNum, maxPosts)
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil || !mine {
		return wrap("take webhook", err)
	}
	next, failure := s.post(ctx, h, alerts)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	return s.told(ctx, h, next, failure)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// post sends alerts until one fails, and gives the first one that was not taken.
func (s *Service) post(ctx context.Context, h store.AlertHook, alerts []store.Alert) (next int64, failure error) {
	next = h.NextNum
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	out, err := s.webhook(h)
	if err != nil {
		return next, err
	}
	defer out.Close()
	for _, a := range alerts {
		if wants(h.Kinds, Kind(a.Kind)) {
			if err := out.Post(ctx, outbound.Message{ID: a.ID, Body: []byte(a.Body)}); err != nil {
				return next, err //nolint:wrapcheck // looked at by its type
			}
		}
		next = a.Num + 1
	}
	return next, nil
}

// webhook makes the sender of a webhook.
func (s *Service) webhook(h store.AlertHook) (*outbound.Webhook, error) {
	secret, err := s.Sealer.Open(h.Secret, sealContext(h.Org, h.ID))
	if err != nil {
		return nil, fmt.Errorf("open secret: %w", err)
	}
	return outbound.NewWebhook(outbound.WebhookConfig{URL: h.URL, Secret: string(secret), CA: h.CA, Guard: s.Guard, Now: s.Now}) //nolint:wrapcheck // it says everything
}

// told writes down how far a webhook was told, and why no further.
func (s *Service) told(ctx context.Context, h store.AlertHook, next int64, failure error) error {
	now := s.Now()
	us := store.Micros(now)
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		failures := h.Failures
		if next > h.NextNum || failure == nil {
			n, err := tx.AdvanceAlertHook(ctx, store.AdvanceAlertHookParams{Org: h.Org, ID: h.ID, NextNum: next, Now: &us, RetryAt: 0})
			if err != nil || n == 0 { // 0: it was removed meanwhile
				return err //nolint:wrapcheck // wrapped below
			}
			if failures >= stalledAfter {
				if err := s.event(ctx, tx, h, policy.AlertResumed, ""); err != nil {
					return err
				}
			}
			failures = 0
		}
		if failure == nil {
			return nil
		}
		failures++
		retry := store.Micros(now.Add(outbound.Backoff(int(failures), failure)))
		n, err := tx.FailAlertHook(ctx, store.FailAlertHookParams{Org: h.Org, ID: h.ID, Failures: failures, Problem: problemOf(failure), Now: &us, RetryAt: retry})
		if err != nil || n == 0 || failures != stalledAfter {
			return err //nolint:wrapcheck // wrapped below
		}
		return s.event(ctx, tx, h, policy.AlertStalled, problemOf(failure))
	})
	if failure != nil {
		s.Log.WarnContext(ctx, "alert webhook takes nothing", "org", string(h.Org), "hook", h.ID, "err", failure)
	}
	return wrap("note what a webhook was told", err)
}

// problemOf says why a webhook took nothing, in words that an admin may see.
func problemOf(err error) string {
	if f, ok := errors.AsType[*outbound.Failure](err); ok {
		return f.Reason
	}
	if e, ok := errors.AsType[*sess.Error](err); ok {
		return e.Message
	}
	return "it could not be sent"
}

func (s *Service) event(ctx context.Context, tx *store.Tx, h store.AlertHook, act policy.Action, reason string) error {
	err := s.Gate.Event(ctx, tx, gate.Entry{
		Who: sess.System(h.Org), Action: act, On: policy.Org(h.Org), Reason: reason, Details: map[string]string{"hook": h.ID, "to": hostOf(h.URL)},
	})
	return wrap("record state of webhook", err)
}
