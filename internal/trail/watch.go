package trail

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	// watchFor bounds one answer to Watch; who watches asks again.
	watchFor = time.Minute
	// watchEvery is how often the log is looked at for new events.
	watchEvery = 250 * time.Millisecond
	// watchLate is how long after a time events of it may still come: refusals are put together for some seconds.
	watchLate = time.Minute
	// watchAlive is how long nothing is sent at most.
	watchAlive = 15 * time.Second
)

// Flusher is a writer that can be told to send what it has.
type Flusher interface {
	io.Writer
	Flush() error
}

// Watch writes the events of who's organisation from a place on to what open gives, line by line as they get their places,
// for a minute. Places have no gaps and are given once, so none is lost and none comes twice, however late it was placed.
func (s *Service) Watch(ctx context.Context, who sess.Principal, in api.AuditWatchIn, open func() Flusher) error {
	var p store.ListAuditEventsParams
	err := s.Gate.Read(ctx, who, policy.AuditWatch, logResource(who), func(tx *gate.Tx) (err error) {
		p, err = filter(ctx, tx, who, in.AuditFilter)
		if err == nil && in.From < 0 {
			err = sess.New(sess.CodeInvalid, "places in the log begin at 0", "")
		}
		return err
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, watchFor)
	defer cancel()
	w := &watcher{db: s.DB, filter: p, next: in.From, out: open()}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	if err := w.line(api.AuditWatchLine{Next: w.next}); err != nil { // the answer begins
		return err
	}
	for {
		if err := w.page(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if p.Until > 0 && store.Micros(s.Now()) >= p.Until+micros(watchLate) {
			return nil // nothing of that time comes any more
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func micros(d time.Duration) int64 { return d.Microseconds() }

// watcher is one answer to Watch.
type watcher struct {
	db     *store.DB
	filter store.ListAuditEventsParams
	next   int64
	out    Flusher
	sent   time.Time
}

// page sends the events that are there.
func (w *watcher) page(ctx context.Context) error {
	for {
		var events []store.AuditEvent
		err := w.db.Read(ctx, func(tx *store.Tx) (err error) {
			events, err = tx.ListAuditFrom(ctx, w.filter.Log, w.next, maxIdx, walkPage)
			return err
		})
		if err != nil {
			return fmt.Errorf("read audit events: %w", err)
		}
		wrote := false
		for _, e := range events {
			w.next = *e.Idx + 1
			if w.filter.Matches(e) {
				ev := eventOf(e)
				if err := w.put(api.AuditWatchLine{Next: w.next, Event: &ev}); err != nil {
					return err
				}
				wrote = true
			}
		}
		if wrote {
			w.sent = time.Now()
			if err := w.out.Flush(); err != nil {
				return fmt.Errorf("send audit events: %w", err)
			}
		}
		if len(events) < walkPage {
			break
		}
	}
	if time.Since(w.sent) < watchAlive {
		return nil
	}
	return w.line(api.AuditWatchLine{Next: w.next})
}

// line sends a line at once.
func (w *watcher) line(l api.AuditWatchLine) error {
	w.sent = time.Now()
	if err := w.put(l); err != nil {
		return err
	}
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("send audit events: %w", err)
	}
	return nil
}

func (w *watcher) put(l api.AuditWatchLine) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write audit event: %w", err)
	}
	if _, err := w.out.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("send audit events: %w", err)
	}
	return nil
}

// maxIdx is behind every place.
const maxIdx = 1 << 62
