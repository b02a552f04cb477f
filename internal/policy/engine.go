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
	d := e.decide(who, grants, act, on, cx)
	if !d.Allowed && len(d.Failed) == 0 && NeedsMember(who) && who.Org == on.Org {
		d.Missing = e.missing(who, grants, act, on, cx)
	}
	return d
}

// Scope says on which things of type t who may do act.
func (e *Engine) Scope(who sess.Principal, grants []sess.Grant, act Action, t Type, cx Context) Scope {
	may := func(on Resource) bool {
		on.Org, on.Type = who.Org, t
		return e.decide(who, grants, act, on, cx).Allowed
	}
	if may(Resource{}) {
		return Scope{Org: true}
	}
	var s Scope
	for _, g := range grants {
		p := g.Project
		if p != "" && !slices.Contains(s.Projects, p) && may(Resource{Project: p}) {
			s.Projects = append(s.Projects, p)
		}
		if !s.Own && who.User != "" {
			s.Own = may(Resource{Project: p, Owner: who.User})
		}
	}
	if !s.Own && who.User != "" {
		s.Own = may(Resource{Owner: who.User})
	}
	return s
}

// decide is Decide without the hint.
func (e *Engine) decide(who sess.Principal, grants []sess.Grant, act Action, on Resource, cx Context) Decision {
	if who.Org != on.Org {
		return Decision{}
	}
	if !NeedsMember(who) {
		return fixed(who, act, on)
	}
	r, ok := e.request(who, grants, act, on, cx)
	if !ok {
		return Decision{}
	}
	verdict, diag := cedar.Authorize(e.rules[act], r.entities, r.Request)
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
func (e *Engine) missing(who sess.Principal, grants []sess.Grant, act Action, on Resource, cx Context) string {
	if who.User == "" {
		return ""
	}
	for _, project := range slices.Compact([]sess.ProjectID{on.Project, ""}) {
		var roles []string
		for _, r := range []sess.Role{sess.RoleReadOnly, sess.RoleOperator, sess.RoleAuditor, sess.RoleAdmin} {
			with := append(slices.Clone(grants), sess.Grant{Role: r, Project: project})
			if e.decide(who, with, act, on, cx).Allowed {
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
