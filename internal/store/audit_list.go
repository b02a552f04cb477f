package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// ListAuditEventsParams say which events of a log are wanted: below the cursor (created_at, id), and as every filter that is
// set says.
type ListAuditEventsParams struct {
	Log      string
	BeforeAt int64 // with BeforeID, the cursor
	BeforeID string
	Since    int64 // microseconds; 0: from the beginning
	Until    int64 // before then; 0: to the end
	Area     string
	Action   string
	Who      string // name
	WhoID    string
	Session  string
	Outcome  string
	OnID     string
	OnName   string
	Instance string
	Address  string
	Page     int64
}

// auditColumns are those of AuditEvent, in its order.
const auditColumns = "log, id, created_at, idx, action, outcome, who, session, body, area, who_id, on_id, on_name, instance, address"

// ListAuditEvents gives a page of the events of a log, newest first. The statement is put together here, because only one
// that has no more conditions than filters finds its rows by the filter's own index.
func (tx *Tx) ListAuditEvents(ctx context.Context, p ListAuditEventsParams) ([]AuditEvent, error) {
	q, args := p.statement()
	rows, err := tx.tx.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("list audit events: %w", err)
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err's
	list := []AuditEvent{}
	for rows.Next() {
		var e AuditEvent
		if err := rows.Scan(&e.Log, &e.ID, &e.CreatedAt, &e.Idx, &e.Action, &e.Outcome, &e.Who, &e.Session, &e.Body,
			&e.Area, &e.WhoID, &e.OnID, &e.OnName, &e.Instance, &e.Address); err != nil {
			return nil, fmt.Errorf("list audit events: %w", err)
		}
		list = append(list, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list audit events: %w", err)
	}
	return list, nil
}

// statement puts the filters that are set behind each other; a partial index is used only where its condition stands, too.
func (p ListAuditEventsParams) statement() (string, []any) {
	if p.Until > 0 && p.Until <= p.BeforeAt { // a cursor like any other: as a condition of its own, all that is newer would be read
		p.BeforeAt, p.BeforeID = p.Until, ""
	}
	args := []any{p.Log, p.BeforeAt, p.BeforeID}
	var b strings.Builder
	b.WriteString("SELECT " + auditColumns + " FROM audit_event WHERE log = $1 AND (created_at, id) < ($2, $3)")
	add := func(condition string, value any) {
		args = append(args, value)
		b.WriteString(" AND " + condition + "$" + strconv.Itoa(len(args)))
	}
	for _, f := range []struct{ column, value, partial string }{
		{"area", p.Area, ""},
		{"action", p.Action, ""},
		{"who", p.Who, ""},
		{"who_id", p.WhoID, "<> ''"},
		{"outcome", p.Outcome, "<> 'allowed'"},
		{"session", p.Session, "<> ''"},
		{"on_name", p.OnName, "<> ''"},
		{"instance", p.Instance, "<> ''"},
		{"address", p.Address, "<> ''"},
	} {
		if f.value == "" {
			continue
		}
		add(f.column+" = ", f.value)
		if f.partial != "" && f.value != "allowed" {
			b.WriteString(" AND " + f.column + " " + f.partial)
		}
	}
	if p.OnID != "" {
		add("on_id = ", p.OnID)
		switch kind, _, _ := strings.Cut(p.OnID, "_"); {
		case p.OnID == p.Log: // many are: the first page is there at once
		case kind == "ses":
			add("session <> '' AND session = ", p.OnID)
		case kind == "ins":
			add("instance <> '' AND instance = ", p.OnID)
		default:
			b.WriteString(" AND on_id <> '' AND on_id <> session AND on_id <> instance AND on_id <> log")
		}
	}
	if p.Since > 0 {
		add("created_at >= ", p.Since)
	}
	args = append(args, p.Page)
	b.WriteString(" ORDER BY created_at DESC, id DESC LIMIT $" + strconv.Itoa(len(args)))
	return b.String(), args
}

// Matches reports whether an event is one that the filters ask for, whatever the cursor.
func (p ListAuditEventsParams) Matches(e AuditEvent) bool {
	for _, f := range []struct{ want, have string }{
		{p.Area, e.Area},
		{p.Action, e.Action},
		{p.Who, e.Who},
		{p.WhoID, e.WhoID},
		{p.Outcome, e.Outcome},
		{p.Session, string(e.Session)},
		{p.OnID, e.OnID},
		{p.OnName, e.OnName},
		{p.Instance, string(e.Instance)},
		{p.Address, e.Address},
	} {
		if f.want != "" && f.want != f.have {
			return false
		}
	}
	return e.CreatedAt >= p.Since && (p.Until == 0 || e.CreatedAt < p.Until)
}

// AuditArea gives what stands before the colon of an action: its area, by which events are listed.
func AuditArea(action string) string {
	area, _, _ := strings.Cut(action, ":")
	return area
}
