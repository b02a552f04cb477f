package trail

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/outbound"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	// leaseFor is how long a node has a sink for itself; it goes on with it long before the end.
	leaseFor = time.Minute
	// renewEvery is how often it does.
	renewEvery = 15 * time.Second
	// sinkEvery is how often it is looked for sinks that nobody streams to, and for new events.
	sinkEvery = 500 * time.Millisecond
	// sendTimeout bounds the delivery of one batch: well below leaseFor.
	sendTimeout = 30 * time.Second
	// maxSendEvents and maxSendBytes bound a batch; what waits beyond it waits in the log itself.
	maxSendEvents = 200
	maxSendBytes  = 1 << 20
	// maxLogs bounds the logs of which events are sent at once.
	maxLogs = 200
	// maxStreams bounds the sinks of one node.
	maxStreams = 1000
	// stalledAfter is how many failures in a row are put on record.
	stalledAfter = 5
	// giveUpTimeout bounds what is still written when the server stops.
	giveUpTimeout = 5 * time.Second
)

// Run streams logs to their sinks until ctx ends. A sink's queue is the log itself and its cursor a row, so that nothing is
// lost whatever is killed: what was not known to be taken is sent again. Of several nodes one has a sink at a time.
func (s *Service) Run(ctx context.Context) {
	var wg sync.WaitGroup
	st := streams{Service: s, running: map[string]bool{}}
	tick := time.NewTicker(sinkEvery)
	defer tick.Stop()
	s.release(ctx) // what it had when it was killed
	for {
		if err := st.start(ctx, &wg); err != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "audit sinks could not be looked at", "err", err)
		}
		if err := s.fill(ctx); err != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "audit events of an older version could not be filled in", "err", err)
		}
		select {
		case <-ctx.Done():
			wg.Wait()
			s.release(context.WithoutCancel(ctx))
			return
		case <-tick.C:
		}
	}
}

// release lets other nodes go on at once.
func (s *Service) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, giveUpTimeout)
	defer cancel()
	if err := s.DB.Write(ctx, func(tx *store.Tx) error { return tx.ReleaseAuditSinks(ctx, s.Node) }); err != nil {
		s.Log.WarnContext(ctx, "audit sinks not released", "err", err)
	}
}

// streams are those that this node runs.
type streams struct {
	*Service

	mu      sync.Mutex
	running map[string]bool
}

// start takes the sinks that nobody streams to.
func (st *streams) start(ctx context.Context, wg *sync.WaitGroup) error {
	var rows []store.AuditSink
	now := store.Micros(st.Now())
	err := st.DB.Read(ctx, func(tx *store.Tx) (err error) {
		rows, err = tx.ListFreeAuditSinks(ctx, now, maxStreams)
		return err
	})
	if err != nil {
		return fmt.Errorf("list sinks: %w", err)
	}
	for _, row := range rows {
		if !st.claim(row.ID) {
			continue
		}
		one := &stream{Service: st.Service, row: row}
		wg.Go(func() {
			defer st.done(row.ID)
			one.run(ctx)
		})
	}
	return nil
}

func (st *streams) claim(id string) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.running[id] || len(st.running) >= maxStreams {
		return false
	}
	st.running[id] = true
	return true
}

func (st *streams) done(id string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(st.running, id)
}

// stream is one sink that this node streams to.
type stream struct {
	*Service

	row      store.AuditSink
	out      sender
	renewed  time.Time
	failures int
	after    string // the log that was read last, if others are still to come: all have their turn
}

// run streams until ctx ends, the sink is gone, or another node has it.
func (st *stream) run(ctx context.Context) {
	defer func() {
		if st.out != nil {
			st.out.close()
		}
	}()
	for ctx.Err() == nil {
		mine, err := st.renew(ctx)
		if err == nil && !mine {
			return
		}
		pause := sinkEvery
		if err == nil {
			var more bool
			if more, err = st.batch(ctx); err == nil && more {
				continue
			}
		}
		if err != nil && ctx.Err() == nil {
			pause = st.failed(ctx, err)
		}
		if !st.wait(ctx, pause) {
			return
		}
	}
}

// wait waits, and keeps the sink meanwhile.
func (st *stream) wait(ctx context.Context, pause time.Duration) bool {
	for pause > 0 {
		part := min(pause, renewEvery)
		pause -= part
		t := time.NewTimer(part)
		select {
		case <-ctx.Done():
			t.Stop()
			return false
		case <-t.C:
		}
		if pause > 0 {
			if mine, err := st.renew(ctx); err == nil && !mine {
				return false
			}
		}
	}
	return true
}

// renew takes the sink for some time, or finds that it is another's or gone. What it was told before it was taken may be old.
func (st *stream) renew(ctx context.Context) (mine bool, err error) {
	if time.Since(st.renewed) < renewEvery {
		return true, nil
	}
	first := st.renewed.IsZero()
	now := st.Now()
	err = st.DB.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.LeaseAuditSink(ctx, store.LeaseAuditSinkParams{Log: st.row.Log, ID: st.row.ID, Node: st.Node, Until: store.Micros(now.Add(leaseFor)), Now: store.Micros(now)})
		mine = n > 0
		if err != nil || !mine || !first {
			return err //nolint:wrapcheck // wrapped below
		}
		st.row, err = tx.GetAuditSink(ctx, st.row.Log, st.row.ID)
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return false, fmt.Errorf("take sink: %w", err)
	}
	if mine {
		st.renewed = time.Now()
		if first {
			st.failures = int(st.row.Failures)
		}
	}
	return mine, nil
}

// batch sends what is next. more says that there may be more at once.
func (st *stream) batch(ctx context.Context) (more bool, err error) {
	if everyLog(st.row) {
		if err := st.join(ctx); err != nil {
			return false, err
		}
	}
	var events []store.AuditEvent
	err = st.DB.Read(ctx, func(tx *store.Tx) (err error) {
		events, more, err = st.gather(ctx, tx)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("read audit events: %w", err)
	}
	if len(events) == 0 {
		return more, nil
	}
	if st.out == nil {
		if st.out, err = st.sender(st.row); err != nil {
			return false, err
		}
	}
	sending, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if err := st.out.send(sending, events); err != nil {
		return false, err
	}
	return more, st.advance(ctx, events)
}

// join has the sink begin in the logs of organisations that were made after it, with their first event.
func (st *stream) join(ctx context.Context) error {
	var orgs []sess.OrgID
	err := st.DB.Read(ctx, func(tx *store.Tx) (err error) {
		orgs, err = tx.ListLogsNewToSink(ctx, st.row.ID, maxLogs)
		return err
	})
	if err == nil && len(orgs) > 0 {
		err = st.DB.Write(ctx, func(tx *store.Tx) error {
			if _, err := tx.GetAuditSink(ctx, st.row.Log, st.row.ID); isNotFound(err) { // it was removed
				return nil
			} else if err != nil {
				return err //nolint:wrapcheck // wrapped below
			}
			for _, org := range orgs {
				if err := tx.PutAuditCursor(ctx, audit.LogOf(org), st.row.ID, 0); err != nil {
					return err //nolint:wrapcheck // wrapped below
				}
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("look for new logs: %w", err)
	}
	return nil
}

// gather reads the next events of the sink's logs, of each in order, and moves on from log to log. more says that there may be
// more at once.
func (st *stream) gather(ctx context.Context, tx *store.Tx) (events []store.AuditEvent, more bool, err error) {
	due, err := tx.ListDueAuditCursors(ctx, st.row.ID, st.after, maxLogs)
	if err != nil {
		return nil, false, err //nolint:wrapcheck // wrapped by the caller
	}
	more = st.after != "" || len(due) == maxLogs // what stands before after comes next
	st.after = ""
	size := 0
	for _, c := range due {
		part, err := tx.ListAuditFrom(ctx, c.Log, c.NextIdx, maxIdx, int32(maxSendEvents-len(events))) //nolint:gosec // at most maxSendEvents
		if err != nil {
			return nil, false, err //nolint:wrapcheck // wrapped by the caller
		}
		for _, e := range part {
			if size += len(e.Body); size > maxSendBytes && len(events) > 0 {
				st.after = c.Log
				return events, true, nil
			}
			events = append(events, e)
		}
		if len(events) >= maxSendEvents {
			st.after = c.Log
			return events, true, nil
		}
	}
	if len(due) == maxLogs {
		st.after = due[len(due)-1].Log
	}
	return events, more, nil
}

// advance moves the cursors behind what was taken, even while the server stops.
func (st *stream) advance(ctx context.Context, events []store.AuditEvent) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTimeout)
	defer cancel()
	now := store.Micros(st.Now())
	err := st.DB.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.AdvanceAuditSink(ctx, st.row.Log, st.row.ID, st.Node, &now)
		if err != nil || n == 0 {
			return err //nolint:wrapcheck // wrapped below
		}
		for i, e := range events {
			if i+1 < len(events) && events[i+1].Log == e.Log {
				continue
			}
			if err := tx.MoveAuditCursor(ctx, e.Log, st.row.ID, *e.Idx+1); err != nil {
				return err //nolint:wrapcheck // wrapped below
			}
		}
		if st.failures >= stalledAfter {
			return st.event(ctx, tx, policy.SinkResumed, "")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("move cursors of sink: %w", err)
	}
	st.failures = 0
	return nil
}

// failed puts a failure down and gives the pause before the next try.
func (st *stream) failed(ctx context.Context, failure error) time.Duration {
	st.failures++
	st.Log.WarnContext(ctx, "audit sink takes nothing", "log", st.row.Log, "sink", st.row.Name, "failures", st.failures, "err", failure, "cause", cause(failure))
	now := store.Micros(st.Now())
	err := st.DB.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.FailAuditSink(ctx, store.FailAuditSinkParams{Log: st.row.Log, ID: st.row.ID, Node: st.Node, Problem: problemOf(failure), FailedAt: &now})
		if err != nil || n == 0 || st.failures != stalledAfter {
			return err //nolint:wrapcheck // logged below
		}
		return st.event(ctx, tx, policy.SinkStalled, problemOf(failure))
	})
	if err != nil && ctx.Err() == nil {
		st.Log.ErrorContext(ctx, "failure of audit sink not written down", "err", err)
	}
	return outbound.Backoff(st.failures, failure)
}

// event puts on record that the sink stalled or goes on.
func (st *stream) event(ctx context.Context, tx *store.Tx, act policy.Action, reason string) error {
	org := sess.OrgID(st.row.Log)
	if st.row.Log == audit.BoxLog {
		org = ""
	}
	at, err := tx.SumAuditCursors(ctx, st.row.ID)
	if err != nil {
		return fmt.Errorf("look how far a sink is: %w", err)
	}
	who := sess.System(org)
	return st.Gate.Event(ctx, tx, gate.Entry{Who: who, Action: act, On: sinkResource(who, st.row), Reason: reason, Details: map[string]string{"next": fmt.Sprint(at.Next)}}) //nolint:wrapcheck // it says everything
}
