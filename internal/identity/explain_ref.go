package identity

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

// explainRef tells from the audit log why a session was let start, or something was denied.
func (s *Service) explainRef(ctx context.Context, tx *gate.Tx, ref string, full bool) (api.Explanation, error) {
	ref = strings.ToLower(ref)
	log := audit.LogOf(tx.Who().Org)
	var row store.AuditEvent
	var err error
	switch {
	case sess.ValidID("evt", ref):
		row, err = tx.GetAuditEvent(ctx, log, sess.EventID(ref))
	case sess.ValidID("ses", ref):
		row, err = tx.GetStartEvent(ctx, log, sess.SessionID(ref))
	default:
		return api.Explanation{}, sess.New(sess.CodeInvalid, fmt.Sprintf("%q is neither a session nor a denial", clip(ref, maxName)), "give the whole id: ses_… or evt_…")
	}
	if err != nil && !isNotFound(err) {
		return api.Explanation{}, fmt.Errorf("look for event: %w", err)
	}
	var e audit.Event
	if err == nil {
		if e, err = audit.DecodeEvent([]byte(row.Body)); err != nil {
			return api.Explanation{}, fmt.Errorf("read event: %w", err)
		}
	}
	// What is not there and what is somebody else's is one answer.
	if e.ID == "" || (!full && (e.Who.User == "" || e.Who.User != tx.Who().User)) {
		return api.Explanation{}, sess.New(sess.CodeNotFound, fmt.Sprintf("no decision %q that you may see", ref), "sessctl audit list --outcome refused shows denials")
	}
	if !full && e.Details["hidden"] != "" { // the log knows what they were not to learn
		e.On.ID, e.On.Name, e.On.Project = "", "", ""
	}
	return s.fromEvent(ctx, tx, e)
}

// fromEvent tells a decision as the log has it, with the rules as they read now.
func (s *Service) fromEvent(ctx context.Context, tx *gate.Tx, e audit.Event) (api.Explanation, error) {
	a := asked{act: policy.Action(e.Action), at: e.Time, on: policy.Resource{
		Org: e.Org, Type: policy.Type(e.On.Type), ID: e.On.ID, Name: e.On.Name, Project: e.On.Project,
	}}
	if e.Who.User != "" {
		st, err := tx.StandingOf(ctx, e.Who.User)
		if err != nil && !isNotFound(err) {
			return api.Explanation{}, fmt.Errorf("load member: %w", err)
		}
		a.standing = st
	}
	a.standing.Name, a.standing.Rules = e.Who.Name, tx.Rules()
	d := policy.Decision{
		Allowed: e.Outcome != audit.Refused, Rules: strings.Fields(e.Details["rules"]), Failed: strings.Fields(e.Details["failed_rules"]),
		Limit: e.Details["limit"],
	}
	x := api.Explanation{
		Allowed: d.Allowed, User: e.Who.Name, Action: e.Action, On: e.On.Name, At: e.Time, Recorded: true, Why: []api.Why{},
		Missing: missing(ctx, tx, a.on, e.Details["missing"]),
	}
	if x.On == "" && a.on.Type != policy.TypeOrg {
		x.On = e.On.ID
	}
	for _, id := range d.Rules {
		x.Why = append(x.Why, s.why(ctx, tx, id, a, d))
	}
	for _, id := range d.Failed {
		x.Why = append(x.Why, api.Why{Rule: id, Effect: "fails", Words: id + " could not be evaluated"})
	}
	x.Summary = inShort(x, d)
	if !d.Allowed && e.Reason != "" && len(x.Why) == 0 && x.Missing == "" {
		x.Summary = e.Who.Name + " was told: " + e.Reason
	}
	if e.Details["hidden"] == "yes" {
		x.Summary += " (the answer was that there is no such thing)"
	}
	return x, nil
}
