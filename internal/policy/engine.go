package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/sessctl/sess/internal/sess"
)

// Engine decides. It holds the compiled rules and nothing else; its methods may be called from any goroutine.
type Engine struct {
	words *words
	rules map[Action]ruleList
}

// New makes the Engine of the built-in roles. It fails when a rule does not fit the schema.
func New() (*Engine, error) {
	text, err := files.ReadFile("schema.cedarschema")
	if err != nil {
		return nil, fmt.Errorf("read policy schema: %w", err)
	}
	w, err := loadWords(text)
	if err != nil {
		return nil, err
	}
	rules, err := loadRules(files, w)
	if err != nil {
		return nil, err
	}
	return &Engine{words: w, rules: index(rules, w)}, nil
}

// NeedsMember reports whether who is judged by the roles of a member, whose state and grants Decide needs; agents, the
// server and the box's owner are not.
func NeedsMember(who sess.Principal) bool {
	switch who.Credential {
	case sess.CredentialAgent, sess.CredentialSystem, sess.CredentialAdmin:
		return false
	case sess.CredentialNone, sess.CredentialLogin, sess.CredentialKey:
	}
	return true
}

// Decide says whether who, an active member with these grants (or an agent, the server, the box's owner), may do act to
// on. It never crosses an organisation.
func (e *Engine) Decide(who sess.Principal, grants []sess.Grant, act Action, on Resource, cx Context) Decision {
	if who.Org != on.Org {
		return Decision{}
	}
	if !NeedsMember(who) {
		return fixed(who, act, on)
	}
	q, ok := e.request(who, grants, act, on, cx)
	if !ok {
		return Decision{}
	}
	d := e.judge(q, act)
	if !d.Allowed && len(d.Failed) == 0 {
		d.Missing = e.missing(q, who, grants, act, on)
	}
	return d
}

// Allows is Decide for who wants no reasons: for the rows of a list.
func (e *Engine) Allows(who sess.Principal, grants []sess.Grant, act Action, on Resource, cx Context) bool {
	if who.Org != on.Org {
		return false
	}
	if !NeedsMember(who) {
		return fixed(who, act, on).Allowed
	}
	q, ok := e.request(who, grants, act, on, cx)
	return ok && e.judge(q, act).Allowed
}

// Scope says on which things of type t who may do act.
func (e *Engine) Scope(who sess.Principal, grants []sess.Grant, act Action, t Type, cx Context) Scope {
	may := func(on Resource) bool {
		on.Org, on.Type = who.Org, t
		return e.Allows(who, grants, act, on, cx)
	}
	if may(Resource{}) {
		return Scope{Org: true}
	}
	var s Scope
	for _, g := range append(grants[:len(grants):len(grants)], sess.Grant{}) {
		p := g.Project
		switch {
		case slices.Contains(s.Projects, p):
		case p != "" && may(Resource{Project: p}):
			s.Projects = append(s.Projects, p)
		case !s.Own && who.User != "":
			s.Own = may(Resource{Project: p, Owner: who.User})
		}
	}
	return s
}

// judge evaluates the rules that speak of act.
func (e *Engine) judge(q question, act Action) Decision {
	verdict, diag := cedar.Authorize(e.rules[act], q.entities, q.Request)
	var d Decision
	for _, x := range diag.Errors {
		d.Failed = append(d.Failed, string(x.PolicyID))
	}
	for _, x := range diag.Reasons {
		d.Rules = append(d.Rules, string(x.PolicyID))
	}
	slices.Sort(d.Failed)
	slices.Sort(d.Rules)
	// Cedar skips a rule that fails; were it a forbid, that would let something through.
	d.Allowed = verdict == types.Allow && len(d.Failed) == 0
	return d
}

// missing says which role would have allowed it, by asking again with each.
func (e *Engine) missing(q question, who sess.Principal, grants []sess.Grant, act Action, on Resource) string {
	for _, project := range slices.Compact([]sess.ProjectID{on.Project, ""}) {
		var roles []string
		for _, r := range []sess.Role{sess.RoleReadOnly, sess.RoleSupport, sess.RoleOperator, sess.RoleAuditor, sess.RoleProjectAdmin, sess.RoleAdmin} {
			with := append(slices.Clone(grants), sess.Grant{Role: r, Project: project})
			q.entities[q.Principal] = userEntity(who, with, scope(string(on.Org)))
			if e.judge(q, act).Allowed {
				roles = append(roles, string(r))
			}
		}
		if len(roles) > 0 {
			where := "the organisation"
			if project != "" {
				where = "project " + string(project)
			}
			return "the role " + strings.Join(roles, " or ") + " on " + where
		}
	}
	return ""
}

// Describe gives what an action is in words, for "you may not …"; an unknown one is its own name.
func Describe(act Action) string {
	for _, a := range Actions() {
		if a.Action == act {
			return a.Summary
		}
	}
	return string(act)
}
