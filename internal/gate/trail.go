package gate

import (
	"context"
	"io"
	"sync"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Trail is the verbs of the audit log itself; each begins with the gate, so looking at the log is in the log.
type Trail struct {
	gate      *Gate
	sequencer *audit.Sequencer
	vkey      string
	checking  sync.Mutex
}

// NewTrail makes a Trail of the logs that g writes, s sequences and the holder of vkey signs.
func NewTrail(g *Gate, s *audit.Sequencer, vkey string) *Trail {
	return &Trail{gate: g, sequencer: s, vkey: vkey}
}

// List gives a page of the events of who's organisation, newest first.
func (t *Trail) List(ctx context.Context, who sess.Principal, in api.AuditIn) (api.AuditList, error) {
	out := api.AuditList{Items: []api.AuditEvent{}}
	err := t.gate.Read(ctx, who, policy.AuditList, policy.Org(who.Org), func(tx *Tx) error {
		after, err := store.ParseCursor(in.After)
		if err != nil {
			return err
		}
		limit := int64(in.Limit)
		if limit <= 0 {
			limit = api.DefaultPage
		}
		limit = min(limit, api.MaxPage)
		rows, err := tx.ListAuditEvents(ctx, store.ListAuditEventsParams{
			Log: audit.LogOf(who.Org), BeforeAt: after.At, BeforeID: after.ID, Action: in.Action, Who: in.Who,
			Session: in.Session, Outcome: in.Outcome, Page: limit,
		})
		if err != nil {
			return err
		}
		for _, r := range rows {
			e := api.AuditEvent{Index: -1, Raw: []byte(r.Body)}
			if r.Idx != nil {
				e.Index = *r.Idx
			}
			out.Items = append(out.Items, e)
		}
		if int64(len(rows)) == limit {
			last := rows[len(rows)-1]
			out.Next = store.Cursor{At: last.CreatedAt, ID: string(last.ID)}.String()
		}
		return nil
	})
	if err != nil {
		return api.AuditList{}, err
	}
	return out, nil
}

// Verify has the server check the log of who's organisation where it is stored. One check runs at a time.
func (t *Trail) Verify(ctx context.Context, who sess.Principal) (api.AuditVerifyOut, error) {
	var mine bool
	err := t.gate.Read(ctx, who, policy.AuditVerify, policy.Org(who.Org), func(*Tx) error {
		if mine = t.checking.TryLock(); !mine {
			return sess.New(sess.CodeLimited, "the audit log is being checked already", "try again when that is done")
		}
		return nil
	})
	if mine {
		defer t.checking.Unlock()
	}
	if err != nil {
		return api.AuditVerifyOut{}, err
	}
	t.settle(ctx)
	r, err := VerifyLog(ctx, t.gate.db, audit.LogOf(who.Org), t.vkey, t.gate.now())
	if err != nil {
		return api.AuditVerifyOut{}, err
	}
	out := api.AuditVerifyOut{OK: r.OK(), Size: r.Size, Unplaced: r.Unplaced, Root: r.Root, Checkpoint: r.Checkpoint, Key: t.vkey}
	for _, p := range r.Problems {
		out.Problems = append(out.Problems, p.String())
	}
	return out, nil
}

// Export writes the log of who's organisation to what open gives; open is called once the export is allowed and recorded,
// so that a refusal can still be answered as one.
func (t *Trail) Export(ctx context.Context, who sess.Principal, open func() io.Writer) error {
	if err := t.gate.Read(ctx, who, policy.AuditExport, policy.Org(who.Org), func(*Tx) error { return nil }); err != nil {
		return err
	}
	t.settle(ctx)
	return Export(ctx, t.gate.db, audit.LogOf(who.Org), t.vkey, t.gate.now(), open())
}

// settle gives what was just recorded its place. What can't be placed shows in the result.
func (t *Trail) settle(ctx context.Context) {
	if err := t.sequencer.Flush(ctx); err != nil {
		t.gate.log.ErrorContext(ctx, "audit events could not be given their places", "err", err)
	}
}
