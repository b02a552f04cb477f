package identity

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// ExplainPolicy says why something is allowed or denied, or was. Those who may not see the organisation's rules have what is
// their own explained, without them.
func (s *Service) ExplainPolicy(ctx context.Context, who sess.Principal, in api.ExplainIn) (api.Explanation, error) {
	var out api.Explanation
	act := explaining(who, in)
	err := s.gate.Read(ctx, who, act, policy.Org(who.Org), func(tx *gate.Tx) error {
		full := tx.Allowed(policy.PolicyExplain, policy.Org(who.Org))
		var err error
		switch {
		case in.Body.Question != nil && in.Body.Ref == "":
			out, err = s.explainQuestion(ctx, tx, *in.Body.Question, full)
		case in.Body.Question == nil && in.Body.Ref != "":
			out, err = s.explainRef(ctx, tx, in.Body.Ref, full)
		default:
			err = sess.New(sess.CodeInvalid, "ask by a question or by a reference, one of the two", "")
		}
		if err == nil && !full {
			out = withoutRules(out)
		}
		return err
	})
	if err != nil {
		return api.Explanation{}, err
	}
	return out, nil
}

// explaining is the permission it takes: what is said of others is for those who may see the rules.
func explaining(who sess.Principal, in api.ExplainIn) policy.Action {
	if q := in.Body.Question; q != nil && q.User != "" && q.User != string(who.User) && !strings.EqualFold(q.User, who.Name) {
		return policy.PolicyExplain
	}
	return policy.PolicyExplainOwn
}

// asked is a Question, looked up.
type asked struct {
	who      sess.Principal
	standing gate.Standing
	act      policy.Action
	on       policy.Resource
	at       time.Time
}

func (s *Service) explainQuestion(ctx context.Context, tx *gate.Tx, q api.Question, full bool) (api.Explanation, error) {
	a, err := s.look(ctx, tx, q)
	if err != nil {
		return api.Explanation{}, err
	}
	if !full && a.on.Type == policy.TypeInstance && !tx.Allowed(policy.InstanceShow, a.on) && !tx.Allowed(a.act, a.on) {
		return api.Explanation{}, noInstance(q.Instance)
	}
	d, state := s.judge(tx, a)
	if d.Allowed {
		if d, err = limitsOf(ctx, tx, a, q.At == nil, d); err != nil {
			return api.Explanation{}, err
		}
	}
	out := api.Explanation{
		Allowed: d.Allowed, User: a.standing.Name, Action: string(a.act), On: a.on.Name, At: a.at.UTC(), Groups: a.standing.Groups,
		Why: []api.Why{}, Missing: missing(ctx, tx, a.on, d.Missing),
	}
	for _, id := range d.Rules {
		out.Why = append(out.Why, s.why(ctx, tx, id, a, d))
	}
	for _, id := range d.Failed {
		w := s.why(ctx, tx, id, a, d)
		w.Effect, w.Words = "fails", id+" could not be evaluated, which denies whatever it could speak of"
		out.Why = append(out.Why, w)
	}
	if d.Allowed && a.act == policy.SessionStart {
		if e := a.standing.Rules.Controls(a.standing.Grants, a.on); len(e.From) > 0 {
			out.Controls = &e
		}
	}
	out.Summary = state
	if state == "" {
		out.Summary = inShort(out, d)
	}
	return out, nil
}

// judge decides, or says why there is nothing to decide.
func (s *Service) judge(tx *gate.Tx, a asked) (d policy.Decision, state string) {
	switch st := a.standing; {
	case st.Deleted:
		return d, st.Name + " was deleted"
	case st.Pending:
		return d, st.Name + " was invited and has not come yet"
	case !st.Active:
		return d, st.Name + " is not active"
	}
	return tx.Judge(a.who, a.standing, a.act, a.on, store.Micros(a.at)), ""
}

// look finds what a question speaks of.
func (s *Service) look(ctx context.Context, tx *gate.Tx, q api.Question) (asked, error) {
	a := asked{at: s.now(), act: policy.Action(q.Action)}
	if q.At != nil {
		a.at = *q.At
	}
	if !strings.Contains(q.Action, ":") { // start, for session:start
		a.act = policy.Action("session:" + q.Action)
		if s.gate.Policy().AppliesTo(policy.Action("instance:"+q.Action), policy.TypeInstance) {
			a.act = policy.Action("instance:" + q.Action)
		}
	}
	user, err := s.askedUser(ctx, tx, q.User)
	if err != nil {
		return a, err
	}
	if a.standing, err = tx.StandingOf(ctx, user); err != nil {
		return a, noUser(q.User, err)
	}
	a.who = sess.Principal{
		Org: tx.Who().Org, User: user, Name: a.standing.Name, UserKind: a.standing.Kind, Credential: sess.CredentialLogin, IDP: q.IDP,
	}
	if q.Key || a.standing.Kind == sess.UserMachine {
		a.who.Credential = sess.CredentialKey
	}
	if q.MFAAge != nil {
		a.who.MFAAt = a.at.Add(-time.Duration(*q.MFAAge) * time.Second)
	}
	if q.From != "" {
		if a.who.Addr, err = netip.ParseAddr(q.From); err != nil {
			return a, sess.New(sess.CodeInvalid, fmt.Sprintf("%q is no address", clip(q.From, maxName)), "give one like 192.0.2.7 or 2001:db8::7")
		}
	}
	a.on, err = s.askedThing(ctx, tx, q, a.act)
	return a, err
}

func (s *Service) askedUser(ctx context.Context, tx *gate.Tx, ref string) (sess.UserID, error) {
	if ref == "" {
		return tx.Who().User, nil
	}
	if sess.ValidID("usr", ref) {
		return sess.UserID(ref), nil
	}
	m, err := tx.GetMemberByName(ctx, tx.Who().Org, strings.ToLower(ref))
	if isNotFound(err) {
		m, err = tx.GetMemberByName(ctx, tx.Who().Org, ref)
	}
	if err != nil {
		return "", noUser(ref, err)
	}
	return m.UserID, nil
}

func noUser(ref string, err error) error {
	if isNotFound(err) {
		return sess.New(sess.CodeNotFound, fmt.Sprintf("there is no user %q", clip(ref, maxName)), "sessctl user list shows them")
	}
	return fmt.Errorf("look for user: %w", err)
}

func noInstance(ref string) error {
	return sess.New(sess.CodeNotFound, fmt.Sprintf("no instance %q that you may see", clip(ref, maxName)), "sessctl instance list shows what you may see")
}

// askedThing gives what a question is about: an instance, or the organisation.
func (s *Service) askedThing(ctx context.Context, tx *gate.Tx, q api.Question, act policy.Action) (policy.Resource, error) {
	engine := s.gate.Policy()
	if q.Instance == "" {
		if !engine.AppliesTo(act, policy.TypeOrg) {
			return policy.Resource{}, sess.New(sess.CodeInvalid, fmt.Sprintf("%s is not something one does to the organisation as a whole", clip(string(act), maxName)), "name an instance; docs/reference/permissions.md lists the actions")
		}
		return policy.Org(tx.Who().Org), nil
	}
	if !engine.AppliesTo(act, policy.TypeInstance) {
		return policy.Resource{}, sess.New(sess.CodeInvalid, fmt.Sprintf("%s is not something one does to an instance", clip(string(act), maxName)), "docs/reference/permissions.md lists the actions")
	}
	row, err := resolve(ctx, tx, tx.Who().Org, strings.ToLower(q.Instance))
	if err != nil {
		if isNotFound(err) {
			return policy.Resource{}, noInstance(q.Instance)
		}
		return policy.Resource{}, err
	}
	labels, err := labelsOf(ctx, tx.Tx, row)
	if err != nil {
		return policy.Resource{}, err
	}
	on := resourceOf(row, labels)
	if act == policy.SessionStart {
		on.SessionKind, on.OSUser, on.Reason = sess.Kind(q.Kind), q.OSUser, q.Reason
		if q.Kind == "" {
			on.SessionKind = sess.KindShell
		}
		if _, ok := sess.Kinds[on.SessionKind]; !ok {
			return on, sess.New(sess.CodeInvalid, fmt.Sprintf("there is no kind of session %q", clip(q.Kind, maxName)), "the kinds are "+strings.Join(sess.KindNames(), ", "))
		}
	}
	return on, nil
}

// why says in words what a rule did.
func (s *Service) why(ctx context.Context, tx *gate.Tx, id string, a asked, d policy.Decision) api.Why {
	w := api.Why{Rule: id, Effect: "allows"}
	if !d.Allowed {
		w.Effect = "forbids"
	}
	if d.Limit != "" {
		w.Effect, w.Words = "limits", d.Limit
		return w
	}
	st, ok := s.gate.Policy().Statement(a.standing.Rules, id)
	if !ok {
		w.Words = id + ", which is there no more, or reads otherwise now"
		return w
	}
	w.Policy, w.Line, w.Text = st.Policy, st.Line, st.Text
	switch {
	case st.Policy != "":
		w.Words = fmt.Sprintf("the policy %s, line %d, %s it", st.Policy, st.Line, w.Effect)
	case st.Role != "":
		w.Words = heldBy(ctx, tx, st.Role, a)
	default:
		w.Words = map[string]string{
			"limits/sessions-off":   "the Session Manager of the organisation is off",
			"limits/stage-password": "the temporary password has to be changed first",
			"limits/stage-mfa":      "the organisation demands a second factor first",
		}[id]
		if strings.HasPrefix(id, "lock/") {
			w.Words = "locked: " + st.Text
		}
		if strings.HasPrefix(id, "everyone/") {
			w.Words = "everybody may do this with what is their own"
		}
	}
	if w.Words == "" {
		w.Words = "a rule of sess itself, " + id
	}
	return w
}

// heldBy says how somebody comes by a role.
func heldBy(ctx context.Context, tx *gate.Tx, role sess.Role, a asked) string {
	var ways []string
	for _, g := range a.standing.Grants {
		if g.Role != role || (a.on.Type != policy.TypeOrg && g.Project != "" && g.Project != a.on.Project) {
			continue
		}
		way := "on the whole organisation"
		if g.Project != "" {
			way = "on project " + projectName(ctx, tx, g.Project)
		}
		if g.Team != "" {
			way += " by the group " + a.standing.Teams[g.Team]
		} else {
			way += " directly"
		}
		if !slices.Contains(ways, way) {
			ways = append(ways, way)
		}
	}
	who := a.standing.Name
	if len(ways) == 0 {
		return fmt.Sprintf("the role %s, which %s holds no more", role, who)
	}
	return fmt.Sprintf("%s has the role %s %s", who, role, strings.Join(ways, ", and "))
}

func projectName(ctx context.Context, tx *gate.Tx, id sess.ProjectID) string {
	if p, err := tx.GetProject(ctx, tx.Who().Org, id); err == nil {
		return p.Name
	}
	return string(id)
}

// missing puts the project's name into what would have helped.
func missing(ctx context.Context, tx *gate.Tx, on policy.Resource, text string) string {
	if on.Project == "" || text == "" {
		return text
	}
	return strings.ReplaceAll(text, string(on.Project), projectName(ctx, tx, on.Project))
}

// inShort is a decision in a sentence.
func inShort(x api.Explanation, d policy.Decision) string {
	what := policy.Describe(policy.Action(x.Action))
	if x.On != "" {
		what += ": " + x.On
	}
	switch {
	case x.Allowed:
		return x.User + " may " + what
	case d.Limit != "":
		return x.User + " may not " + what + ": a role limits it"
	case len(d.Failed) > 0:
		return x.User + " may not " + what + ": a rule could not be evaluated"
	case len(d.Rules) > 0:
		return x.User + " may not " + what + ": a rule forbids it"
	}
	return x.User + " may not " + what + ": nothing allows it"
}

// withoutRules leaves out what the organisation's rules say: who asks about themselves learns by which role they may, or that
// a rule forbids it.
func withoutRules(x api.Explanation) api.Explanation {
	kept := []api.Why{}
	for _, w := range x.Why {
		if w.Policy != "" || w.Effect == "fails" || strings.HasPrefix(w.Rule, "policy/") { // one that is gone, too
			w = api.Why{Effect: w.Effect, Words: "a policy of the organisation " + strings.TrimSuffix(w.Effect, "s") + "s it"}
		}
		w.Text, w.Line = "", 0
		kept = append(kept, w)
	}
	x.Why, x.Partial = kept, true
	return x
}
