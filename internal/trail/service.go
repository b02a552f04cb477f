// Package trail is the verbs of the audit log: to list, follow, show, export and prove it, and what carries it out of the
// server. Writing it is the gate's; its form, and checking it offline, package audit's.
//
// Each verb begins with the gate, so looking at the log is in the log.
package trail

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/outbound"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Sealer seals what the server must be able to read again, such as the secrets that sign webhooks.
type Sealer interface {
	Seal(plain []byte, context string) string
	Open(sealed, context string) ([]byte, error)
}

// Config is what a Service is made of. What has no comment is required.
type Config struct {
	Gate      *gate.Gate
	DB        *store.DB
	Sequencer *audit.Sequencer
	Key       string // the verifier key of whoever signs
	Sealer    Sealer
	Node      sess.NodeID
	Version   string           // of the server, for exports
	Host      string           // that messages are said to come from
	Guard     outbound.Guard   // the addresses that organisations may have their log streamed to
	Now       func() time.Time // nil: time.Now
	Log       *slog.Logger     // nil: nothing is logged
}

// Service has the verbs of the audit log. They may be called from any goroutine.
type Service struct {
	Config
	checking sync.Mutex
}

// New makes a Service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{Config: c}
}

// settle gives what was just recorded its place. What can't be placed shows in the result.
func (s *Service) settle(ctx context.Context) {
	if err := s.Sequencer.Flush(ctx); err != nil {
		s.Log.WarnContext(ctx, "audit events have no place yet", "err", err)
	}
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }
