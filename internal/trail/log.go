package trail

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/store"
)

const (
	// walkPage is how many events are read at once; their hashes come in one query.
	walkPage = 500
	// checkpointEvery is how far apart the checkpoints are that are looked at on the way: a change is found to lie between
	// two of them.
	checkpointEvery = 500
)

// VerifyLog checks a log where it is stored: the bytes of the events against their hashes and the signed checkpoints, the
// columns that queries use against the bytes, and that there is no event that never got a place. vkey is the verifier key
// of the server. What is wrong is in the report; the error is about reading.
func VerifyLog(ctx context.Context, db *store.DB, log, vkey string, now time.Time) (*audit.Report, error) {
	c, err := audit.NewCheck(vkey, audit.Options{Log: log})
	if err != nil {
		return nil, err
	}
	var leaves audit.Tree
	w := walker{db: db, log: log, vkey: vkey}
	w.event = func(e store.AuditEvent, leaf tlog.Hash) error {
		if leaf == (tlog.Hash{}) {
			c.Problem(audit.Problem{Index: *e.Idx, Event: e.ID, What: "its hash is missing from the tree"})
		}
		leaves.AppendHash(leaf)
		c.Event(*e.Idx, []byte(e.Body), leaf, 0)
		checkColumns(c, e, *e.Idx)
		return nil
	}
	w.unplaced = func(e store.AuditEvent) error {
		c.Unplaced([]byte(e.Body), now, 0)
		checkColumns(c, e, -1)
		return nil
	}
	w.checkpoint = func(signed string) error { c.Checkpoint(signed, 0); return nil }
	if err := w.walk(ctx); err != nil {
		return nil, err
	}
	if err := checkStoredRoot(ctx, db, log, &leaves, c); err != nil {
		return nil, err
	}
	return c.Report(), nil
}

// checkStoredRoot holds the inner hashes that the next events build on against those of the leaves.
func checkStoredRoot(ctx context.Context, db *store.DB, log string, leaves *audit.Tree, c *audit.Check) error {
	if leaves.Size() == 0 {
		return nil
	}
	return db.Read(ctx, func(tx *store.Tx) error {
		root, err := tlog.TreeHash(leaves.Size(), tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
			return gate.LogHashes(ctx, tx, log, indexes)
		}))
		switch {
		case errors.Is(err, audit.ErrTampered):
			c.Problem(audit.Problem{Index: -1, What: err.Error()})
			return nil
		case err == nil && root != leaves.Root():
			c.Problem(audit.Problem{Index: -1, What: "the stored hashes of the tree don't belong together"})
		}
		return err
	})
}

// checkColumns finds a row whose columns say something else than its signed bytes: lists would show a lie.
func checkColumns(c *audit.Check, e store.AuditEvent, idx int64) {
	b, err := audit.DecodeEvent([]byte(e.Body))
	if err != nil {
		return // said already
	}
	if b.ID != e.ID || audit.LogOf(b.Org) != e.Log || b.Action != e.Action || string(b.Outcome) != e.Outcome ||
		b.Who.Name != e.Who || b.Session != e.Session || store.Micros(b.Time) != e.CreatedAt || e.Area != "" && !filled(e, b) {
		c.Problem(audit.Problem{Index: idx, Event: e.ID, What: "its row says something else than its bytes: the columns were changed"})
	}
}

// filled reports whether the columns that lists are filtered by say what the event says.
func filled(e store.AuditEvent, b audit.Event) bool {
	return e.Area == store.AuditArea(b.Action) && e.WhoID == gate.WhoID(b) && e.OnID == b.On.ID && e.OnName == b.On.Name &&
		e.Instance == b.Instance && e.Address == b.Who.Address
}

// walker goes through a log page by page, each page a transaction of its own: what has a place never changes, so a slow
// reader holds up nobody. It ends at the newest checkpoint of when it began.
type walker struct {
	db   *store.DB
	log  string
	vkey string // checkpoints on the way that another key signed are left out

	event      func(store.AuditEvent, tlog.Hash) error // the hash is zero where none is stored
	unplaced   func(store.AuditEvent) error
	checkpoint func(signed string) error

	final store.AuditCheckpoint // Note is empty: there is none
	end   int64                 // behind the last place; more than final.Size only if somebody wrote rows by hand
	first int64                 // where it begins
}

// size finds the newest checkpoint.
func (w *walker) size(ctx context.Context) error {
	err := w.db.Read(ctx, func(tx *store.Tx) error {
		placed, err := tx.GetAuditSize(ctx, w.log)
		if err != nil {
			return err
		}
		w.final, err = tx.GetAuditCheckpoint(ctx, w.log)
		w.end = max(placed, w.final.Size)
		if isNotFound(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read audit checkpoint: %w", err)
	}
	return nil
}

func (w *walker) walk(ctx context.Context) error {
	if w.end == 0 {
		if err := w.size(ctx); err != nil {
			return err
		}
	}
	if err := w.stretches(ctx); err != nil {
		return err
	}
	if err := w.rest(ctx); err != nil {
		return err
	}
	return w.last()
}

// stretches goes through the places, from checkpoint to checkpoint.
func (w *walker) stretches(ctx context.Context) error {
	for first := w.first; first < w.end; {
		mark, err := w.mark(ctx, first)
		if err != nil {
			return err
		}
		stop := w.end
		if mark.Note != "" && mark.Size <= w.end {
			stop = mark.Size
		} else {
			mark.Note = ""
		}
		if err := w.stretch(ctx, first, stop); err != nil {
			return err
		}
		if mark.Note != "" {
			if err := w.checkpoint(mark.Note); err != nil {
				return err
			}
		}
		first = stop
	}
	return nil
}

// mark finds the next checkpoint to look at before the final one; its Note is empty when there is none.
func (w *walker) mark(ctx context.Context, from int64) (mark store.AuditCheckpoint, err error) {
	err = w.db.Read(ctx, func(tx *store.Tx) error {
		for {
			c, err := tx.GetAuditCheckpointFrom(ctx, w.log, from+checkpointEvery)
			switch {
			case isNotFound(err):
				return nil
			case err != nil:
				return err
			case c.Size >= w.final.Size:
				return nil
			}
			if _, err := audit.OpenCheckpoint(c.Note, w.vkey); err == nil {
				mark = c
				return nil
			}
			from = c.Size
		}
	})
	return mark, err
}

// stretch goes through the places from first to before stop.
func (w *walker) stretch(ctx context.Context, first, stop int64) error {
	for first < stop {
		events, leaves, err := w.page(ctx, first, stop)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return nil // what is missing is seen by who counts
		}
		for i, e := range events {
			if err := w.event(e, leaves[i]); err != nil {
				return err
			}
			first = *e.Idx + 1
		}
	}
	return nil
}

// page reads placed events with the hashes stored for them.
func (w *walker) page(ctx context.Context, first, stop int64) (events []store.AuditEvent, leaves []tlog.Hash, err error) {
	err = w.db.Read(ctx, func(tx *store.Tx) error {
		events, err = tx.ListAuditFrom(ctx, w.log, first, stop, walkPage)
		if err != nil {
			return err
		}
		at := make([]int64, len(events))
		for i, e := range events {
			at[i] = tlog.StoredHashIndex(0, *e.Idx)
		}
		stored, err := tx.AuditHashes(ctx, w.log, at)
		if err != nil {
			return err
		}
		leaves = make([]tlog.Hash, len(events))
		for i := range events {
			if h, err := tlog.ParseHash(stored[at[i]]); err == nil {
				leaves[i] = h
			}
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("read audit events: %w", err)
	}
	return events, leaves, err
}

// rest goes through the events without a place: at most a page, for there are only the newest, or something is wrong.
func (w *walker) rest(ctx context.Context) error {
	var events []store.AuditEvent
	err := w.db.Read(ctx, func(tx *store.Tx) error {
		var err error
		events, err = tx.ListUnplacedAuditEvents(ctx, w.log, walkPage)
		return err
	})
	if err != nil {
		return fmt.Errorf("read audit events: %w", err)
	}
	for _, e := range events {
		if err := w.unplaced(e); err != nil {
			return err
		}
	}
	return nil
}
