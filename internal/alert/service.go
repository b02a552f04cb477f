// Package alert tells webhooks of what is unusual in an organisation's audit log: lockouts, locks, many refusals, new addresses,
// odd hours, recordings that failed, keys of agents.
//
// It has no source but the log, which it looks at in order, and no memory but rows, which it writes in the transaction that moves
// its cursor. So whatever is killed, no alert is lost and none is raised twice; a webhook may be told of one twice, and knows it by
// its id.
//
//	log ─ watch ─ rules ─▶ alert rows, event alert:raised     one transaction for some events
//	                          └─ deliver ─▶ webhooks          each from a cursor of its own
package alert

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/outbound"
	"github.com/sessctl/sess/internal/store"
)

// Sealer seals what the server must be able to read again: the secrets that sign webhooks.
type Sealer interface {
	Seal(plain []byte, context string) string
	Open(sealed, context string) ([]byte, error)
}

// Config is what a Service is made of. What has no comment is required.
type Config struct {
	Gate   *gate.Gate
	DB     *store.DB
	Sealer Sealer
	Guard  outbound.Guard   // the addresses that organisations may have told
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: nothing is logged
}

// Service has the verbs of alerts, and Run. They may be called from any goroutine.
type Service struct{ Config }

// New makes a Service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{c}
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

const (
	lookEvery  = 500 * time.Millisecond
	purgeEvery = time.Hour
	alertsKept = 30 * 24 * time.Hour
)

// Run looks at the logs and tells webhooks until ctx ends. Of several nodes any may do any part: rows say what is done.
func (s *Service) Run(ctx context.Context) {
	d := newDeliveries(s)
	defer d.wait()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var purged time.Time
	for {
		err := s.watch(ctx)
		err = errors.Join(err, d.start(ctx))
		if now := s.Now(); now.Sub(purged) > purgeEvery {
			purged = now
			err = errors.Join(err, s.purge(ctx))
		}
		if err != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "alerts", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// purge forgets old alerts, and what rules need no more.
func (s *Service) purge(ctx context.Context) error {
	now := s.Now()
	return s.DB.Write(ctx, func(tx *store.Tx) error { //nolint:wrapcheck // joined and logged
		if _, err := tx.PurgeAlerts(ctx, store.Micros(now.Add(-alertsKept))); err != nil {
			return err //nolint:wrapcheck // as above
		}
		for kind, age := range map[string]time.Duration{seenWindow: windowsKept, seenAddress: addressesKept, seenHour: hoursKept} {
			if _, err := tx.PurgeAlertSeen(ctx, kind, store.Micros(now.Add(-age))); err != nil {
				return err //nolint:wrapcheck // as above
			}
		}
		return nil
	})
}
