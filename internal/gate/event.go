package gate

import (
	"context"
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Entry is an event to record. The zero Outcome is audit.Allowed, the zero Time is now.
type Entry struct {
	Who     sess.Principal // its Org chooses the log; none: the box's
	Action  policy.Action
	Outcome audit.Outcome
	On      policy.Resource
	Session sess.SessionID
	Reason  string
	Code    sess.Code
	Details map[string]string
	Time    time.Time
	Count   int64
}

// Event appends an event that is no request (a session started, was joined, ended) to the log, in the caller's own
// transaction: when it fails, the caller's transaction must fail.
func (g *Gate) Event(ctx context.Context, tx *store.Tx, e Entry) error {
	return g.append(ctx, tx, sess.NewEventID(), e)
}

// append writes an event and has the sequencer woken once it is committed.
func (g *Gate) append(ctx context.Context, tx *store.Tx, id sess.EventID, e Entry) error {
	if e.Who.RequestID == "" {
		e.Who.RequestID = sess.RequestID(ctx)
	}
	ev := e.event(id, g.now)
	body, err := ev.Encode()
	if err != nil {
		return err
	}
	if err := tx.AppendAuditEvent(ctx, store.AppendAuditEventParams{
		Log: audit.LogOf(ev.Org), ID: ev.ID, CreatedAt: store.Micros(ev.Time), Action: ev.Action, Outcome: string(ev.Outcome),
		Who: ev.Who.Name, Session: ev.Session, Body: string(body), Area: store.AuditArea(ev.Action), WhoID: WhoID(ev), OnID: ev.On.ID, OnName: ev.On.Name,
		Instance: ev.Instance, Address: ev.Who.Address,
	}); err != nil {
		return sess.Wrap(fmt.Errorf("append audit event: %w", err), sess.CodeUnavailable,
			"the audit log can't be written, so nothing was done", "tell whoever runs the server; its log has the cause")
	}
	tx.AfterCommit(g.recorded)
	return nil
}

func (e Entry) event(id sess.EventID, now func() time.Time) audit.Event {
	if e.Time.IsZero() {
		e.Time = now()
	}
	if e.Outcome == "" {
		e.Outcome = audit.Allowed
	}
	who := audit.Who{
		User: e.Who.User, Name: e.Who.Name, Kind: e.Who.UserKind, Instance: e.Who.Instance,
		Credential: e.Who.Credential, CredentialID: e.Who.CredentialID,
	}
	if e.Who.Addr.IsValid() {
		who.Address = e.Who.Addr.String()
	}
	instance := e.On.Instance
	if e.On.Type == policy.TypeInstance {
		instance = sess.InstanceID(e.On.ID)
	}
	if e.Session == "" && (e.On.Type == policy.TypeSession || e.On.Type == policy.TypeRecording) {
		e.Session = sess.SessionID(e.On.ID) // lists find what is about a session by it
	}
	return audit.Event{
		Instance: instance,
		ID:       id, Time: e.Time.UTC().Truncate(time.Microsecond), Org: e.Who.Org, Action: string(e.Action), Outcome: e.Outcome, Who: who,
		On:      audit.Thing{Type: string(e.On.Type), ID: e.On.ID, Name: e.On.Name, Project: e.On.Project},
		Session: e.Session, Reason: e.Reason, Code: e.Code, Request: e.Who.RequestID, Details: e.Details, Count: e.Count,
	}
}

// WhoID gives the id by which events of whoever acted are listed: a user's or an instance's.
func WhoID(e audit.Event) string {
	if e.Who.User != "" {
		return string(e.Who.User)
	}
	return string(e.Who.Instance)
}
