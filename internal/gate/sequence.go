package gate

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Rows binds the audit log's sequencer to the store. Several servers may sequence the same log on one PostgreSQL: a lock
// per log lets one batch in at a time, and what makes it certain is that a place (log, idx) and a hash (log, number) exist
// once and that an event's place is set only where it has none: who comes second changes nothing and gets
// audit.ErrRaced. SQLite has one writer at a time.
func Rows(db *store.DB) audit.Rows { return rows{db} }

type rows struct{ db *store.DB }

// Unplaced names logs that have events without a place.
func (r rows) Unplaced(ctx context.Context, limit int) (logs []string, err error) {
	err = r.db.Read(ctx, func(tx *store.Tx) error {
		logs, err = tx.ListUnplacedAuditLogs(ctx, int64(limit))
		return err
	})
	return logs, err
}

// Batch runs fn in one write transaction that holds the log's lock.
func (r rows) Batch(ctx context.Context, log string, fn func(audit.Batch) error) error {
	err := r.db.Write(ctx, func(tx *store.Tx) error {
		if err := tx.Lock(ctx, "audit "+log); err != nil {
			return err
		}
		return fn(batch{tx, log})
	})
	if store.IsUnique(err) {
		return fmt.Errorf("%w: %w", audit.ErrRaced, err)
	}
	return err
}

type batch struct {
	tx  *store.Tx
	log string
}

func (b batch) Size(ctx context.Context) (int64, error) { return b.tx.GetAuditSize(ctx, b.log) }

func (b batch) Signed(ctx context.Context) (string, error) {
	c, err := b.tx.GetAuditCheckpoint(ctx, b.log)
	if notFound(err) {
		return "", nil
	}
	return c.Note, err
}

func (b batch) Pending(ctx context.Context, limit int) ([]audit.Row, error) {
	events, err := b.tx.ListUnplacedAuditEvents(ctx, b.log, int64(limit))
	if err != nil {
		return nil, err
	}
	list := make([]audit.Row, len(events))
	for i, e := range events {
		list[i] = audit.Row{ID: e.ID, Body: []byte(e.Body), Time: store.Time(e.CreatedAt)}
	}
	return list, nil
}

func (b batch) Hashes(ctx context.Context, indexes []int64) ([]tlog.Hash, error) {
	return LogHashes(ctx, b.tx, b.log, indexes)
}

// LogHashes gives hashes of a log's tree by tlog.StoredHashIndex, in the order asked for. One that is missing is
// audit.ErrTampered.
func LogHashes(ctx context.Context, tx *store.Tx, log string, indexes []int64) ([]tlog.Hash, error) {
	stored, err := tx.AuditHashes(ctx, log, indexes)
	if err != nil {
		return nil, err
	}
	out := make([]tlog.Hash, len(indexes))
	for i, idx := range indexes {
		text, ok := stored[idx]
		if !ok {
			return nil, fmt.Errorf("%w: hash %d of the tree is missing", audit.ErrTampered, idx)
		}
		if out[i], err = tlog.ParseHash(text); err != nil {
			return nil, fmt.Errorf("%w: hash %d of the tree can't be read", audit.ErrTampered, idx)
		}
	}
	return out, nil
}

func (b batch) Place(ctx context.Context, id sess.EventID, idx int64) error {
	n, err := b.tx.PlaceAuditEvent(ctx, b.log, id, &idx)
	if err == nil && n != 1 {
		err = audit.ErrRaced
	}
	return err
}

func (b batch) PutHash(ctx context.Context, index int64, h tlog.Hash) error {
	return b.tx.PutAuditHash(ctx, b.log, index, h.String())
}

func (b batch) Sign(ctx context.Context, c audit.Checkpoint, signed string, at time.Time) error {
	return b.tx.PutAuditCheckpoint(ctx, b.log, c.Size, signed, store.Micros(at))
}
