package trail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Range is a stretch of time; zero ends are open.
type Range struct{ Since, Until time.Time }

func (r Range) whole() bool { return r.Since.IsZero() && r.Until.IsZero() }

// has reports whether an event was written within r.
func (r Range) has(e store.AuditEvent) bool {
	return (r.Since.IsZero() || e.CreatedAt >= store.Micros(r.Since)) && (r.Until.IsZero() || e.CreatedAt < store.Micros(r.Until))
}

// parseRange reads the ends of a stretch of time.
func parseRange(since, until string) (r Range, err error) {
	for text, at := range map[string]*time.Time{since: &r.Since, until: &r.Until} {
		if text == "" {
			continue
		}
		if *at, err = time.Parse(time.RFC3339Nano, text); err != nil || at.Year() < 1970 || at.Year() > 9999 {
			return r, sess.New(sess.CodeInvalid, fmt.Sprintf("%.40q is no time", text), "write it as 2006-01-02T15:04:05Z")
		}
	}
	return r, nil
}

// Export writes what in asks for of the log of who's organisation to what open gives; open is called with the content's type
// once the export is allowed and recorded, so that a refusal can still be answered as one.
func (s *Service) Export(ctx context.Context, who sess.Principal, in api.AuditExportIn, open func(contentType string) io.Writer) error {
	var r Range
	err := s.Gate.Read(ctx, who, policy.AuditExport, logResource(who), func(tx *gate.Tx) (err error) {
		tx.Detail("format", formatName(in.Format))
		for key, value := range map[string]string{"since": in.Since, "until": in.Until} {
			if value != "" {
				tx.Detail(key, value)
			}
		}
		r, err = parseRange(in.Since, in.Until)
		return err
	})
	if err != nil {
		return err
	}
	s.settle(ctx)
	switch formatName(in.Format) {
	case "jsonl":
		return Export(ctx, s.DB, logOf(who), s.Key, r, s.Now(), open("application/x-ndjson"))
	case "csv":
		return s.exportRows(ctx, logOf(who), r, audit.NewCSV(open("text/csv; charset=utf-8")))
	case "ocsf":
		return s.exportRows(ctx, logOf(who), r, audit.NewOCSF(open("application/x-ndjson"), s.Version))
	}
	return sess.New(sess.CodeInvalid, "there is no such format of an export", "use jsonl, csv or ocsf")
}

func formatName(f string) string {
	if f == "" {
		return "jsonl"
	}
	return f
}

// rowWriter writes events in a form that is for reading, not for proving.
type rowWriter interface {
	Event(idx int64, body []byte) error
	Close() error
}

// exportRows writes the events within r in the order of their places, and then those without one.
func (s *Service) exportRows(ctx context.Context, log string, r Range, out rowWriter) error {
	w := walker{db: s.DB, log: log, vkey: s.Key, checkpoint: func(string) error { return nil }}
	if err := w.limit(ctx, r); err != nil {
		return err
	}
	w.event = func(e store.AuditEvent, _ tlog.Hash) error {
		if !r.has(e) {
			return nil
		}
		return out.Event(*e.Idx, []byte(e.Body))
	}
	w.unplaced = func(e store.AuditEvent) error {
		if !r.has(e) {
			return nil
		}
		return out.Event(-1, []byte(e.Body))
	}
	if err := w.walk(ctx); err != nil {
		return err
	}
	return out.Close() //nolint:wrapcheck // it says everything
}

// Export writes a log, or the range of it in which all events of a stretch of time stand, to w in package audit's export
// format: the events that have a place, with checkpoints among them, the few that have none yet, and a last checkpoint. Have
// the sequencer Flush first.
func Export(ctx context.Context, db *store.DB, log, vkey string, r Range, now time.Time, w io.Writer) error {
	x := walker{db: db, log: log, vkey: vkey}
	if err := x.limit(ctx, r); err != nil {
		return err
	}
	h := audit.Header{Log: log, Size: x.final.Size, Key: vkey, Time: now.Truncate(time.Microsecond)}
	if !r.whole() {
		h.Range, h.First, h.Size = true, x.first, x.end
	}
	out, err := audit.NewWriter(w, h)
	if err != nil {
		return err //nolint:wrapcheck // it says everything
	}
	if h.Range {
		if err := x.around(ctx, audit.StackHashes(x.first), out.Before); err != nil {
			return err
		}
	}
	x.event = func(e store.AuditEvent, leaf tlog.Hash) error { return out.Event(*e.Idx, []byte(e.Body), leaf) }
	x.unplaced = func(e store.AuditEvent) error {
		if !r.has(e) {
			return nil
		}
		return out.Unplaced([]byte(e.Body))
	}
	x.checkpoint = out.Checkpoint
	if err := x.stretches(ctx); err != nil {
		return err
	}
	if h.Range {
		to := x.final.Size
		after := func(hashes []tlog.Hash) error { return out.After(to, hashes) }
		if err := x.around(ctx, audit.GapHashes(x.end, to), after); err != nil {
			return err
		}
	}
	if err := errors.Join(x.rest(ctx), x.last()); err != nil {
		return err
	}
	return out.Close() //nolint:wrapcheck // it says everything
}

// last hands out the final checkpoint.
func (w *walker) last() error {
	if w.final.Note == "" {
		return nil
	}
	return w.checkpoint(w.final.Note)
}

// around reads the hashes that stand for the events around a range.
func (w *walker) around(ctx context.Context, indexes []int64, put func([]tlog.Hash) error) error {
	var hashes []tlog.Hash
	err := w.db.Read(ctx, func(tx *store.Tx) (err error) {
		hashes, err = gate.LogHashes(ctx, tx, w.log, indexes)
		return err
	})
	if err != nil {
		return fmt.Errorf("read hashes around the range: %w", err)
	}
	return put(hashes)
}

// limit has w walk the places in which all events of r stand, up to the first checkpoint that is over them.
func (w *walker) limit(ctx context.Context, r Range) error {
	if err := w.size(ctx); err != nil || r.whole() {
		return err
	}
	w.end = w.final.Size // what was placed since is not signed
	return w.db.Read(ctx, func(tx *store.Tx) error {
		var since int64
		if !r.Since.IsZero() {
			since = store.Micros(r.Since)
			first, err := tx.FirstAuditIdxSince(ctx, w.log, since)
			if err != nil {
				return fmt.Errorf("find the first event: %w", err)
			}
			if w.first = min(first, w.end); first < 0 {
				w.first = w.end
			}
		}
		if r.Until.IsZero() {
			return nil
		}
		last, err := tx.LastAuditIdxBetween(ctx, w.log, since, store.Micros(r.Until))
		if err != nil {
			return fmt.Errorf("find the last event: %w", err)
		}
		w.end = max(w.first, min(last+1, w.end))
		return w.signed(ctx, tx)
	})
}

// signed takes the first checkpoint over at least end events for the final one, so that little stands behind the range.
func (w *walker) signed(ctx context.Context, tx *store.Tx) error {
	for size := w.end; ; {
		c, err := tx.GetAuditCheckpointFrom(ctx, w.log, size)
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("find checkpoint: %w", err)
		}
		if _, err := audit.OpenCheckpoint(c.Note, w.vkey); err == nil {
			w.final = c
			return nil
		}
		size = c.Size + 1
	}
}
