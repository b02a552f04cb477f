package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sessctl/sess/internal/sess"
)

const (
	// maxBatch bounds how many events get their places in one transaction.
	maxBatch = 500
	// gather is how long the sequencer waits after it was woken, so that a busy server signs once for many events.
	gather = 50 * time.Millisecond
	// rounds is how often it looks for events that nobody woke it for: another node's, those of before a crash.
	rounds = 3 * time.Second
	// maxLogs bounds how many logs are looked at in one round; the rest follow in the next.
	maxLogs = 1000
	// maxTries bounds how often a batch is tried again because another node placed events at the same moment.
	maxTries = 5
)

// ErrRaced says that another sequencer took the places first; nothing was written, and it can be tried again.
var ErrRaced = errors.New("another sequencer was first")

// ErrTampered says that the stored log is not what it was: the sequencer signs nothing more until it is.
var ErrTampered = errors.New("the audit log was tampered with")

// Row is an event as it is stored.
type Row struct {
	ID   sess.EventID
	Body []byte
	Time time.Time // when it was written
}

// Rows is where the events are stored.
type Rows interface {
	// Unplaced names up to limit logs that have events without a place.
	Unplaced(ctx context.Context, limit int) ([]string, error)
	// Batch runs fn in one transaction that writes, and commits it when fn returns nil. Two batches of one log never both
	// commit the same places: by a lock, and by the uniqueness of (log, place) and of (log, number of the hash). The loser's
	// error matches ErrRaced. fn may be run several times.
	Batch(ctx context.Context, log string, fn func(Batch) error) error
}

// Batch is a transaction that gives events of one log their places.
type Batch interface {
	// Size counts the events that have a place, by the highest place.
	Size(ctx context.Context) (int64, error)
	// Signed gives the newest signed checkpoint; empty: there is none.
	Signed(ctx context.Context) (string, error)
	// Pending gives up to limit events without a place, oldest first.
	Pending(ctx context.Context, limit int) ([]Row, error)
	// Hashes gives stored hashes by tlog.StoredHashIndex, in the order asked for.
	Hashes(ctx context.Context, indexes []int64) ([]tlog.Hash, error)
	// Place gives an event its place.
	Place(ctx context.Context, id sess.EventID, idx int64) error
	// PutHash stores one hash of the tree.
	PutHash(ctx context.Context, index int64, h tlog.Hash) error
	// Sign stores a signed checkpoint; at is the time of the newest event in it.
	Sign(ctx context.Context, c Checkpoint, signed string, at time.Time) error
}

// Sequencer gives events their places in the tree of their log, without gaps and in batches, and signs a checkpoint after
// each batch. Several servers may run one each on the same rows.
type Sequencer struct {
	rows   Rows
	signer *Signer
	log    *slog.Logger
	wake   chan struct{}

	signed func(Checkpoint, string) // called with each new checkpoint, once it is committed; may be nil

	mu   sync.Mutex
	seen map[string]Checkpoint // the last that this sequencer signed, by log: what the rows can't take back
}

// NewSequencer makes a sequencer; Run drives it. log may be nil.
func NewSequencer(rows Rows, signer *Signer, log *slog.Logger) *Sequencer {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Sequencer{rows: rows, signer: signer, log: log, wake: make(chan struct{}, 1), seen: map[string]Checkpoint{}}
}

// OnSigned has f called with each checkpoint that is signed, once it is committed. f must not block. It is said before Run.
func (s *Sequencer) OnSigned(f func(c Checkpoint, signed string)) { s.signed = f }

// Remember says that a checkpoint was signed once: the log must go on from it, or nothing more is signed.
func (s *Sequencer) Remember(c Checkpoint) { s.remember(c) }

// Wake says that there are new events. It never blocks; many calls become one.
func (s *Sequencer) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run places events whenever it is woken and every few seconds, until ctx ends. What can't be placed is logged and tried
// again; Run itself ends with ctx only.
func (s *Sequencer) Run(ctx context.Context) {
	every := time.NewTicker(rounds)
	defer every.Stop()
	for {
		if err := s.Flush(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "audit events could not be given their places", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			continue
		case <-s.wake:
		}
		pause := time.NewTimer(gather)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// Flush gives all events that are there their places. One log that can't be sequenced does not hold up the others.
func (s *Sequencer) Flush(ctx context.Context) error {
	logs, err := s.rows.Unplaced(ctx, maxLogs)
	if err != nil {
		return fmt.Errorf("find audit events without a place: %w", err)
	}
	var errs []error
	for _, log := range logs {
		if err := s.flush(ctx, log); err != nil {
			errs = append(errs, fmt.Errorf("audit log %s: %w", log, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Sequencer) flush(ctx context.Context, log string) error {
	for tries := 0; ; {
		n, err := s.batch(ctx, log)
		switch {
		case errors.Is(err, ErrRaced) && tries < maxTries && ctx.Err() == nil:
			tries++
		case err != nil:
			return err
		case n < maxBatch:
			return nil
		default:
			tries = 0
		}
	}
}

// batch places one batch of a log and returns how many events it placed.
func (s *Sequencer) batch(ctx context.Context, log string) (placed int, err error) {
	var signed Checkpoint
	var note string
	err = s.rows.Batch(ctx, log, func(b Batch) error {
		placed = 0
		size, err := b.Size(ctx)
		if err != nil {
			return err
		}
		if err := s.checkSigned(ctx, b, log, size); err != nil {
			return err
		}
		rows, err := b.Pending(ctx, maxBatch)
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := appendRows(ctx, b, size, rows); err != nil {
			return err
		}
		placed = len(rows)
		signed, note, err = s.sign(ctx, b, Checkpoint{Log: log, Size: size + int64(placed)}, rows[placed-1].Time)
		return err
	})
	if err == nil && placed > 0 {
		s.remember(signed)
		if s.signed != nil {
			s.signed(signed, note)
		}
	}
	return placed, err
}

func (s *Sequencer) remember(c Checkpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Size > s.seen[c.Log].Size {
		s.seen[c.Log] = c
	}
}

func (s *Sequencer) remembered(log string) Checkpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[log]
}

// checkSigned holds the number of placed events against the last checkpoint, and the tree against the last one that this
// sequencer signed: when rows were deleted or replaced behind our back, nothing is signed that would hide it.
func (s *Sequencer) checkSigned(ctx context.Context, b Batch, log string, size int64) error {
	signed, err := b.Signed(ctx)
	if err != nil {
		return err
	}
	mine := s.remembered(log)
	// A checkpoint of another key is from before this one: verify looks at that.
	if cp, err := OpenCheckpoint(signed, s.signer.VerifierKey()); err == nil && cp.Size != size {
		return fmt.Errorf("%w: %d events have a place, and the last checkpoint is over %d", ErrTampered, size, cp.Size)
	}
	if size < mine.Size {
		return fmt.Errorf("%w: %d events have a place, and there were %d", ErrTampered, size, mine.Size)
	}
	if mine.Size == 0 {
		return nil
	}
	root, err := rootAt(ctx, b, mine.Size)
	if err == nil && root != mine.Root {
		err = fmt.Errorf("%w: the hashes of the first %d events are not those that were signed", ErrTampered, mine.Size)
	}
	return err
}

func rootAt(ctx context.Context, b Batch, size int64) (tlog.Hash, error) {
	root, err := tlog.TreeHash(size, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		return hashes(ctx, b, nil, indexes)
	}))
	if err != nil {
		return root, fmt.Errorf("root of %d events: %w", size, err)
	}
	return root, nil
}

// appendRows gives rows the places from size on and stores the hashes that they complete.
func appendRows(ctx context.Context, b Batch, size int64, rows []Row) error {
	fresh := map[int64]tlog.Hash{} // hashes of this batch
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		return hashes(ctx, b, fresh, indexes)
	})
	for i, r := range rows {
		idx := size + int64(i)
		if err := b.Place(ctx, r.ID, idx); err != nil {
			return err
		}
		complete, err := tlog.StoredHashes(idx, r.Body, reader)
		if err != nil {
			return fmt.Errorf("hash of event %d: %w", idx, err)
		}
		at := tlog.StoredHashIndex(0, idx)
		for j, h := range complete {
			fresh[at+int64(j)] = h
			if err := b.PutHash(ctx, at+int64(j), h); err != nil {
				return err
			}
		}
	}
	return nil
}

// hashes reads those of this batch from fresh and the others from the rows.
func hashes(ctx context.Context, b Batch, fresh map[int64]tlog.Hash, indexes []int64) ([]tlog.Hash, error) {
	var older []int64
	for _, i := range indexes {
		if _, ok := fresh[i]; !ok {
			older = append(older, i)
		}
	}
	var stored []tlog.Hash
	if len(older) > 0 {
		var err error
		if stored, err = b.Hashes(ctx, older); err != nil {
			return nil, err
		}
		if len(stored) != len(older) {
			return nil, fmt.Errorf("%d of %d hashes of the tree are missing", len(older)-len(stored), len(older))
		}
	}
	out := make([]tlog.Hash, len(indexes))
	next := 0
	for i, idx := range indexes {
		if h, ok := fresh[idx]; ok {
			out[i] = h
			continue
		}
		out[i] = stored[next]
		next++
	}
	return out, nil
}

// sign signs the tree of c.Size events and gives the checkpoint with its root, and the signed note.
func (s *Sequencer) sign(ctx context.Context, b Batch, c Checkpoint, at time.Time) (Checkpoint, string, error) {
	root, err := rootAt(ctx, b, c.Size)
	if err != nil {
		return c, "", err
	}
	c.Root = root
	signed, err := s.signer.Checkpoint(c)
	if err != nil {
		return c, "", err
	}
	return c, signed, b.Sign(ctx, c, signed, at)
}
