package trail

import (
	"context"
	"fmt"
	"strings"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// logOf is the log that who's verbs are about.
func logOf(who sess.Principal) string { return audit.LogOf(who.Org) }

func logResource(who sess.Principal) policy.Resource { return policy.Org(who.Org) }

// List gives a page of the events of who's organisation, newest first, and how many have a place: who goes on from there
// with Watch misses none and sees none twice.
func (s *Service) List(ctx context.Context, who sess.Principal, in api.AuditIn) (api.AuditList, error) {
	out := api.AuditList{Items: []api.AuditEvent{}}
	err := s.Gate.Read(ctx, who, policy.AuditList, logResource(who), func(tx *gate.Tx) error {
		p, err := filter(ctx, tx, who, in.AuditFilter)
		if err != nil {
			return err
		}
		after, err := store.ParseCursor(in.After)
		if err != nil {
			return err //nolint:wrapcheck // it says everything
		}
		p.BeforeAt, p.BeforeID, p.Page = after.At, after.ID, api.DefaultPage
		if in.Limit > 0 {
			p.Page = min(int64(in.Limit), api.MaxPage)
		}
		rows, err := tx.ListAuditEvents(ctx, p)
		if err != nil {
			return err //nolint:wrapcheck // it says everything
		}
		if out.Size, err = tx.GetAuditSize(ctx, p.Log); err != nil {
			return fmt.Errorf("size of audit log: %w", err)
		}
		for _, r := range rows {
			out.Items = append(out.Items, eventOf(r))
		}
		if int64(len(rows)) == p.Page {
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

func eventOf(r store.AuditEvent) api.AuditEvent {
	e := api.AuditEvent{Index: -1, Raw: []byte(r.Body)}
	if r.Idx != nil {
		e.Index = *r.Idx
	}
	return e
}

// Show gives one event.
func (s *Service) Show(ctx context.Context, who sess.Principal, in api.AuditRef) (api.AuditEvent, error) {
	var out api.AuditEvent
	err := s.Gate.Read(ctx, who, policy.AuditShow, logResource(who), func(tx *gate.Tx) error {
		row, err := event(ctx, tx, logOf(who), in.Event)
		out = eventOf(row)
		return err
	})
	if err != nil {
		return api.AuditEvent{}, err
	}
	return out, nil
}

func event(ctx context.Context, tx *gate.Tx, log, id string) (store.AuditEvent, error) {
	tx.Detail("event", id)
	row, err := tx.GetAuditEvent(ctx, log, sess.EventID(id))
	if isNotFound(err) {
		return row, sess.New(sess.CodeNotFound, "there is no event of that id in this log", "sessctl audit list --json shows ids")
	}
	if err != nil {
		return row, fmt.Errorf("look for audit event: %w", err)
	}
	return row, nil
}

// filter turns what was asked for into conditions. A name of an instance means the one that has it now.
func filter(ctx context.Context, tx *gate.Tx, who sess.Principal, in api.AuditFilter) (store.ListAuditEventsParams, error) {
	p := store.ListAuditEventsParams{Log: logOf(who), Session: in.Session, Outcome: in.Outcome, Instance: in.Instance, Address: in.Address}
	r, err := parseRange(in.Since, in.Until)
	if err != nil {
		return p, err
	}
	if !r.Since.IsZero() {
		p.Since = store.Micros(r.Since)
	}
	if !r.Until.IsZero() {
		p.Until = store.Micros(r.Until)
	}
	if area, ok := strings.CutSuffix(in.Action, ":*"); ok {
		p.Area = area
	} else {
		p.Action = in.Action
	}
	if strings.Contains(p.Area+p.Action, "*") {
		return p, sess.New(sess.CodeInvalid, fmt.Sprintf("%q is no pattern of actions", in.Action), "name an action, or all of an area, such as session:*")
	}
	if sess.ValidID("usr", in.Who) || sess.ValidID("ins", in.Who) {
		p.WhoID = in.Who
	} else {
		p.Who = in.Who
	}
	if kind, _, ok := strings.Cut(in.On, "_"); ok && sess.ValidID(kind, in.On) {
		p.OnID = in.On
	} else {
		p.OnName = in.On
	}
	if in.Instance != "" && !sess.ValidID("ins", in.Instance) {
		row, err := tx.GetInstanceByName(ctx, who.Org, in.Instance)
		if isNotFound(err) {
			return p, sess.New(sess.CodeNotFound, "there is no instance of that name now", "of one that was removed, give the id: sessctl audit list --on NAME --json shows it")
		}
		if err != nil {
			return p, fmt.Errorf("look for instance: %w", err)
		}
		p.Instance = string(row.ID)
	}
	return p, nil
}
