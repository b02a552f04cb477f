package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	maxOrgs   = 100 // organisations of one look
	maxEvents = 200 // of one transaction
	maxRounds = 50  // transactions for one organisation in one look: then others have their turn
)

// watch looks at what is new in the logs.
func (s *Service) watch(ctx context.Context) error {
	var orgs []sess.OrgID
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		orgs, err = tx.ListAlertsDue(ctx, maxOrgs)
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return fmt.Errorf("list logs to look at: %w", err)
	}
	var errs []error
	for _, org := range orgs {
		more, err := true, error(nil)
		for round := 0; more && err == nil && round < maxRounds; round++ {
			more, err = s.watchOrg(ctx, org)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("look at the log of %s: %w", org, err))
		}
	}
	return errors.Join(errs...)
}

// watchOrg looks at the next events of one log, and says whether there are more.
func (s *Service) watchOrg(ctx context.Context, org sess.OrgID) (more bool, err error) {
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		more = false
		w, err := tx.LockAlertWatch(ctx, org)
		if err != nil {
			return fmt.Errorf("take watch: %w", err)
		}
		rows, err := tx.ListAuditFrom(ctx, string(org), w.NextIdx, math.MaxInt64, maxEvents)
		if err != nil || len(rows) == 0 {
			return err //nolint:wrapcheck // wrapped by the caller
		}
		more = len(rows) == maxEvents
		o, err := tx.GetOrg(ctx, org)
		if err != nil {
			return fmt.Errorf("load organisation: %w", err)
		}
		for _, r := range rows {
			if err := s.lookAt(ctx, tx, o, &w, r); err != nil {
				return err
			}
			w.NextIdx = *r.Idx + 1
		}
		return tx.MoveAlertWatch(ctx, org, w.NextIdx, w.NextNum) //nolint:wrapcheck // wrapped by the caller
	})
	if err != nil {
		return false, fmt.Errorf("raise alerts: %w", err)
	}
	return more, nil
}

// lookAt runs the rules over one event and writes down what they found. An event that can't be read is passed over: the log is
// checked elsewhere.
func (s *Service) lookAt(ctx context.Context, tx *store.Tx, o store.Org, w *store.AlertWatch, r store.AuditEvent) error {
	e, err := audit.DecodeEvent([]byte(r.Body))
	if err != nil {
		s.Log.WarnContext(ctx, "audit event not looked at", "org", string(o.ID), "event", string(r.ID), "err", err)
		return nil
	}
	j := judge{tx, o.ID}
	found, err := j.look(ctx, e)
	if err != nil || *r.Idx < w.LearnIdx {
		return err
	}
	for _, f := range found {
		n, err := j.window(ctx, "cap "+string(f.kind), e.Time, capWindow, 1)
		if err != nil {
			return err
		}
		if n > capMost {
			continue
		}
		if n == capMost {
			f.summary += fmt.Sprintf(" (the %dth of this kind within an hour: further ones are in the audit log alone)", n)
		}
		if err := s.raise(ctx, tx, o, w, e, r, f); err != nil {
			return err
		}
	}
	return nil
}

// body is what a webhook is told, in JSON.
type body struct {
	ID      string            `json:"id"`
	Type    string            `json:"type"` // sess.alert
	Kind    Kind              `json:"kind"`
	Time    time.Time         `json:"time"` // of the event
	Org     sess.OrgID        `json:"org"`
	OrgName string            `json:"org_name"`
	Summary string            `json:"summary"` // in words
	Details map[string]string `json:"details,omitempty"`
	Event   json.RawMessage   `json:"event,omitempty"` // verbatim, as in the audit log
	Test    bool              `json:"test,omitempty"`
}

const bodyType = "sess.alert"

// raise writes an alert down, with its event, for those to be told who want to be.
func (s *Service) raise(ctx context.Context, tx *store.Tx, o store.Org, w *store.AlertWatch, e audit.Event, r store.AuditEvent, f finding) error {
	b := body{
		ID: sess.NewAlertID(), Type: bodyType, Kind: f.kind, Time: e.Time, Org: o.ID, OrgName: o.Name, Summary: f.summary, Details: f.details,
		Event: json.RawMessage(r.Body),
	}
	text, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("write alert: %w", err)
	}
	if err := tx.AddAlert(ctx, store.AddAlertParams{Org: o.ID, Num: w.NextNum, ID: b.ID, Kind: string(f.kind), CreatedAt: store.Micros(e.Time), Body: string(text)}); err != nil {
		return fmt.Errorf("add alert: %w", err)
	}
	w.NextNum++
	err = s.Gate.Event(ctx, tx, gate.Entry{
		Who: sess.System(o.ID), Action: policy.AlertRaised, On: policy.Org(o.ID), Session: e.Session, Reason: f.summary,
		Details: map[string]string{"kind": string(f.kind), "alert": b.ID, "event": string(e.ID)},
	})
	if err != nil {
		return fmt.Errorf("record alert: %w", err)
	}
	return nil
}
