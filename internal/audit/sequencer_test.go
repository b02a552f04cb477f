package audit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/sess"
)

// memory is audit.Rows in memory, with the guarantees that the interface asks for.
type memory struct {
	mu     sync.Mutex
	events []audit.Row // in the order of writing
	place  map[sess.EventID]int64
	hashes map[int64]tlog.Hash
	signed []string
	race   int // so many batches lose
}

func newMemory() *memory {
	return &memory{place: map[sess.EventID]int64{}, hashes: map[int64]tlog.Hash{}}
}

func (m *memory) write(bodies ...[]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range bodies {
		m.events = append(m.events, audit.Row{ID: sess.NewEventID(), Body: b, Time: time.Now()})
	}
}

func (m *memory) Unplaced(context.Context, int) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.events) > len(m.place) {
		return []string{"org_a"}, nil
	}
	return nil, nil
}

func (m *memory) Batch(_ context.Context, _ string, fn func(audit.Batch) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.race > 0 {
		m.race--
		return fmt.Errorf("unique constraint: %w", audit.ErrRaced)
	}
	return fn(memoryBatch{m})
}

type memoryBatch struct{ m *memory }

func (b memoryBatch) Size(context.Context) (int64, error) { return int64(len(b.m.place)), nil }

func (b memoryBatch) Signed(context.Context) (string, error) {
	if len(b.m.signed) == 0 {
		return "", nil
	}
	return b.m.signed[len(b.m.signed)-1], nil
}

func (b memoryBatch) Pending(_ context.Context, limit int) (out []audit.Row, _ error) {
	for _, e := range b.m.events {
		if _, ok := b.m.place[e.ID]; !ok && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (b memoryBatch) Hashes(_ context.Context, idx []int64) (out []tlog.Hash, _ error) {
	for _, i := range idx {
		h, ok := b.m.hashes[i]
		if !ok {
			return nil, fmt.Errorf("no hash %d", i)
		}
		out = append(out, h)
	}
	return out, nil
}

func (b memoryBatch) Place(_ context.Context, id sess.EventID, idx int64) error {
	if _, ok := b.m.place[id]; ok {
		return audit.ErrRaced
	}
	b.m.place[id] = idx
	return nil
}

func (b memoryBatch) PutHash(_ context.Context, i int64, h tlog.Hash) error {
	if _, ok := b.m.hashes[i]; ok {
		return audit.ErrRaced
	}
	b.m.hashes[i] = h
	return nil
}

func (b memoryBatch) Sign(_ context.Context, _ audit.Checkpoint, signed string, _ time.Time) error {
	b.m.signed = append(b.m.signed, signed)
	return nil
}

// file exports what is in memory.
func (m *memory) file(t *testing.T, s *audit.Signer) []byte {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	sorted := slices.Clone(m.events)
	slices.SortFunc(sorted, func(a, b audit.Row) int { return int(m.place[a.ID] - m.place[b.ID]) })
	var events [][]byte
	for _, e := range sorted {
		events = append(events, e.Body)
	}
	return export(t, s, events, 0)
}

func TestSequencerSignsWhatVerifies(t *testing.T) {
	s, m := newSigner(t, 1), newMemory()
	q := audit.NewSequencer(m, s, nil)
	for _, n := range []int{1, 2, 700, 1, 300} { // more than a batch, too
		m.write(bodies(t, n)...)
		if err := q.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	last, err := audit.OpenCheckpoint(m.signed[len(m.signed)-1], s.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	r := verify(t, s, m.file(t, s), audit.Options{Checkpoint: m.signed[2]})
	if !r.OK() || r.Size != 1004 || last.Size != 1004 || last.Root.String() != r.Root || last.Log != "org_a" {
		t.Errorf("signed %+v, computed %s of %d:\n%s", last, r.Root, r.Size, problems(r))
	}
}

func TestSequencerTriesAgainWhenItLost(t *testing.T) {
	s, m := newSigner(t, 1), newMemory()
	q := audit.NewSequencer(m, s, nil)
	m.write(bodies(t, 3)...)
	m.race = 3
	if err := q.Flush(t.Context()); err != nil || len(m.place) != 3 {
		t.Fatalf("%v, %d placed", err, len(m.place))
	}
	m.write(bodies(t, 1)...)
	m.race = 1000
	if err := q.Flush(t.Context()); !errors.Is(err, audit.ErrRaced) {
		t.Errorf("losing for ever: %v", err)
	}
}

func TestSequencerSignsNothingOverATamperedLog(t *testing.T) {
	for name, tamper := range map[string]func(*memory){
		"last event removed": func(m *memory) {
			delete(m.place, m.events[len(m.events)-1].ID)
			m.events = m.events[:len(m.events)-1]
		},
		"rolled back with its checkpoint": func(m *memory) {
			for _, e := range m.events[2:] {
				delete(m.place, e.ID)
			}
			m.events, m.signed, m.hashes = m.events[:2], m.signed[:1], map[int64]tlog.Hash{}
		},
		"hashes changed": func(m *memory) {
			for i, h := range m.hashes {
				h[0] ^= 1
				m.hashes[i] = h
			}
		},
	} {
		s, m := newSigner(t, 1), newMemory()
		q := audit.NewSequencer(m, s, nil)
		for range 4 {
			m.write(bodies(t, 1)...)
			if err := q.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		tamper(m)
		before := len(m.signed)
		m.write(bodies(t, 1)...)
		if err := q.Flush(t.Context()); !errors.Is(err, audit.ErrTampered) || len(m.signed) != before {
			t.Errorf("%s: %v, %d checkpoints more", name, err, len(m.signed)-before)
		}
	}
}

func TestRunPlacesWhenWokenAndByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := newSigner(t, 1), newMemory()
		q := audit.NewSequencer(m, s, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); q.Run(ctx) }()
		synctest.Wait()
		placed := func() int {
			m.mu.Lock()
			defer m.mu.Unlock()
			return len(m.place)
		}
		m.write(bodies(t, 5)...)
		for range 100 {
			q.Wake() // never blocks
		}
		start := time.Now()
		wait := func(n int, within time.Duration) {
			t.Helper()
			for placed() < n {
				if time.Since(start) > within {
					t.Fatalf("%d of %d placed after %v", placed(), n, within)
				}
				<-time.After(10 * time.Millisecond)
			}
		}
		wait(5, 200*time.Millisecond)
		m.write(bodies(t, 1)...) // by another node: nobody wakes us
		wait(6, 10*time.Second)
		if len(m.signed) != 2 {
			t.Errorf("%d checkpoints for two batches", len(m.signed))
		}
		cancel()
		<-done
	})
}
