package trail

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/outbound"
	"github.com/sessctl/sess/internal/sess"
)

// publishTimeout bounds one post of checkpoints.
const publishTimeout = 20 * time.Second

// Publisher brings signed checkpoints to a place outside of the database: a file that is appended to, or a URL that is posted
// to. Of a log that grows faster than they can be brought there, the newest counts.
type Publisher struct {
	to   string
	key  string
	now  func() time.Time
	log  *slog.Logger
	wake chan struct{}

	mu      sync.Mutex
	waiting map[string]audit.Witnessed
}

// NewPublisher makes a Publisher of what the holder of key, a verifier key, signs. Checkpoints that stand in the file already
// must be of the same log: seq signs nothing that does not go on from them.
func NewPublisher(to, key string, seq *audit.Sequencer, now func() time.Time, log *slog.Logger) (*Publisher, error) {
	p := &Publisher{to: to, key: key, now: now, log: log, wake: make(chan struct{}, 1), waiting: map[string]audit.Witnessed{}}
	if p.url() {
		if _, err := outbound.CheckURL(to, outbound.Guard{AllowPrivate: true}); err != nil {
			return nil, err //nolint:wrapcheck // it says everything
		}
	} else if err := p.recall(seq); err != nil {
		return nil, err
	}
	seq.OnSigned(p.put)
	return p, nil
}

func (p *Publisher) url() bool {
	return strings.HasPrefix(p.to, "https://") || strings.HasPrefix(p.to, "http://")
}

// recall has seq know what was published before.
func (p *Publisher) recall(seq *audit.Sequencer) error {
	bad := func(err error) error {
		return sess.Wrap(err, sess.CodeInvalid, "checkpoints can't be published to "+p.to, "name a file that this server may append to; what it holds already must be whole")
	}
	f, err := os.OpenFile(p.to, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return bad(err)
	}
	defer f.Close()
	last, err := audit.ReadWitnessed(f)
	if err != nil {
		return bad(err)
	}
	for _, w := range last {
		c, err := audit.OpenCheckpoint(w.Checkpoint, p.key)
		if err != nil {
			continue // of another key, from before this one
		}
		seq.Remember(c)
	}
	return nil
}

func (p *Publisher) put(c audit.Checkpoint, signed string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.Size <= p.waiting[c.Log].Size {
		return
	}
	p.waiting[c.Log] = audit.Witnessed{Time: p.now().UTC(), Log: c.Log, Size: c.Size, Checkpoint: signed, Key: p.key}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run publishes until ctx ends, and then what is left, once.
func (p *Publisher) Run(ctx context.Context) {
	failures := 0
	for {
		var again <-chan time.Time
		if err := p.publish(context.WithoutCancel(ctx)); err != nil {
			failures++
			pause := outbound.Backoff(failures, err)
			p.log.ErrorContext(ctx, "checkpoints of the audit log not published", "to", p.to, "again_in", pause, "err", err)
			again = time.After(pause)
		} else {
			failures = 0
		}
		select {
		case <-ctx.Done():
			if err := p.publish(context.WithoutCancel(ctx)); err != nil {
				p.log.ErrorContext(ctx, "checkpoints of the audit log not published", "to", p.to, "err", err)
			}
			return
		case <-again:
		case <-p.wake:
		}
	}
}

// publish brings what waits to its place; what can't be brought there waits on.
func (p *Publisher) publish(ctx context.Context) error {
	p.mu.Lock()
	waiting := p.waiting
	p.waiting = map[string]audit.Witnessed{}
	p.mu.Unlock()
	if len(waiting) == 0 {
		return nil
	}
	lines := slices.Collect(maps.Values(waiting))
	var err error
	if p.url() {
		err = p.post(ctx, lines)
	} else {
		err = audit.AppendWitnessed(p.to, lines...)
	}
	if err == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for log, w := range waiting {
		if p.waiting[log].Size < w.Size {
			p.waiting[log] = w
		}
	}
	return err
}

// post sends lines to the URL, which the server's owner chose. They are signed themselves.
func (p *Publisher) post(ctx context.Context, lines []audit.Witnessed) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, w := range lines {
		if err := enc.Encode(w); err != nil {
			return fmt.Errorf("post checkpoints: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.to, &b)
	if err != nil {
		return fmt.Errorf("post checkpoints: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("User-Agent", "sess-server")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("post checkpoints: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("post checkpoints: status %d", resp.StatusCode)
	}
	return nil
}
