package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/sessctl/sess/internal/sess"
)

// CustomRole is a role of an organisation's own.
type CustomRole struct {
	Name     sess.Role
	Summary  string
	Actions  []Action
	Controls sess.Controls
}

// Text is a policy as an admin wrote it.
type Text struct {
	Name string
	Body string // Cedar
}

// Source is what an organisation's rules are made of.
type Source struct {
	Version  int64 // org.rules
	Roles    []CustomRole
	Policies []Text
	Defaults sess.Controls             // for all sessions of the organisation
	Projects map[sess.ProjectID]string // their names
	IDPs     map[string]string         // the names of identity providers, by id
	Locks    []Lock
}

// OrgRules are the rules that one organisation added to those we ship, compiled. Nothing in it changes; nil is none.
type OrgRules struct {
	version  int64
	roles    map[sess.Role]CustomRole
	defaults sess.Controls
	projects map[sess.ProjectID]string
	idps     map[string]string
	plans    map[Action]plan
	broken   []string // policies that this version can't compile: they make every decision that they could speak of a denial
	groups   bool
	factors  bool
	things   bool
	compiled map[Text][]rule
	locks    *locks               // nil: none
	base     *OrgRules            // the roles alone, where there are policies
	sources  map[string]Statement // by the id of the rule
}

// Statement is one rule of an organisation's own, or one that we ship, for people.
type Statement struct {
	Rule   string    // its id
	Role   sess.Role // of a role; empty: of a policy, or one of those for everybody
	Policy string    // the name of the policy it stands in
	Line   int       // where it begins
	Text   string    // Cedar
	Forbid bool
}

// Version gives the org.rules that r was compiled of.
func (r *OrgRules) Version() int64 {
	if r == nil {
		return -1
	}
	return r.version
}

// UsesGroups reports whether a rule, or a lock, asks which groups somebody is in.
func (r *OrgRules) UsesGroups() bool {
	return r != nil && (r.groups || r.locks != nil && r.locks.groups)
}

// UsesFactors reports whether a policy asks for the age of a second factor.
func (r *OrgRules) UsesFactors() bool { return r != nil && r.factors }

// UsesThings reports whether there are policies, which may ask for the labels and the region of the instance that a session
// or recording belongs to. Roles don't.
func (r *OrgRules) UsesThings() bool { return r != nil && r.things }

func (r *OrgRules) projectName(id sess.ProjectID) string {
	if r == nil || id == "" {
		return ""
	}
	return r.projects[id]
}

// idpName gives the name of a provider by its id; anything else is itself.
func (r *OrgRules) idpName(id string) string {
	if r != nil && r.idps[id] != "" {
		return r.idps[id]
	}
	return id
}

// Compile makes the rules of an organisation. A policy that does not compile (any more) makes what it could speak of a
// denial, and is named in Broken. What before, if there is one, was made of the same text is taken over from it.
func (e *Engine) Compile(src Source, before *OrgRules) *OrgRules {
	r := &OrgRules{
		version: src.Version, roles: map[sess.Role]CustomRole{}, defaults: src.Defaults, projects: src.Projects, idps: src.IDPs, sources: map[string]Statement{},
		compiled: map[Text][]rule{}, things: len(src.Policies) > 0,
		locks: newLocks(src.Locks),
	}
	var rules []rule
	for _, c := range src.Roles {
		t := Text{Name: "role/" + string(c.Name), Body: RoleText(c)}
		more, ok := before.take(t)
		if !ok {
			var err error
			if more, err = parseRules(string(c.Name)+".cedar", []byte(t.Body), e.words); err != nil { // only by rows that somebody wrote by hand
				r.broken = append(r.broken, t.Name)
				continue
			}
		}
		r.roles[c.Name], r.compiled[t] = c, more
		r.note(more, t.Body, Statement{Role: c.Name})
		rules = append(rules, more...)
	}
	roles := len(rules)
	for _, t := range src.Policies {
		more, ok := before.take(t)
		if !ok {
			var err error
			if more, err = e.checkPolicy(t); err != nil {
				r.broken = append(r.broken, policyPrefix+t.Name)
				continue
			}
		}
		r.compiled[t] = more
		r.note(more, t.Body, Statement{Policy: t.Name})
		rules = append(rules, more...)
	}
	r.plans, r.groups = e.plans(rules), slices.ContainsFunc(rules, mentionsGroups)
	r.factors = slices.ContainsFunc(rules, mentionsFactors)
	if r.things {
		base := *r
		base.plans, base.broken, base.things = e.plans(rules[:roles]), nil, false
		r.base = &base
	}
	return r
}

// take gives what was compiled of a text before.
func (r *OrgRules) take(t Text) ([]rule, bool) {
	if r == nil {
		return nil, false
	}
	rules, ok := r.compiled[t]
	return rules, ok
}

func (e *Engine) plans(rules []rule) map[Action]plan {
	plans := map[Action]plan{}
	for act := range e.words.applies {
		if p := planOf(rules, act, mayGovern); !p.empty() {
			plans[act] = p
		}
	}
	return plans
}

// Broken names the policies and roles that this version of sess can't compile.
func (r *OrgRules) Broken() []string {
	if r == nil {
		return nil
	}
	return r.broken
}

func (r *OrgRules) note(rules []rule, text string, s Statement) {
	for i, x := range rules {
		end := len(text)
		if i+1 < len(rules) {
			end = rules[i+1].policy.Position().Offset
		}
		s.Rule, s.Line = string(x.id), x.policy.Position().Line
		s.Text = strings.TrimSpace(text[x.policy.Position().Offset:end])
		s.Forbid = x.policy.Effect() == cedar.Forbid
		r.sources[s.Rule] = s
	}
}

// judge evaluates the organisation's own rules that can speak of q.
func (r *OrgRules) judge(q question, act Action, now int64) Decision {
	var d Decision
	if r == nil {
		return d
	}
	if len(r.broken) > 0 && Governed(act) {
		d.Failed = slices.Clone(r.broken)
	}
	p, ok := r.plans[act]
	if !ok {
		return d
	}
	c := p.candidates(q)
	for _, zone := range c.zones() {
		c.zone = zone
		req := q.Request
		if zone != time.UTC {
			req = q.at(now, zone)
		}
		d = merge(d, authorize(&c, q.entities, req))
	}
	return d
}

// authorize is one call of Cedar.
func authorize(rules cedar.PolicyIterator, entities types.EntityMap, req cedar.Request) Decision {
	verdict, diag := cedar.Authorize(rules, entities, req)
	var d Decision
	for _, x := range diag.Errors {
		d.Failed = append(d.Failed, string(x.PolicyID))
	}
	for _, x := range diag.Reasons {
		d.Rules = append(d.Rules, string(x.PolicyID))
	}
	d.Allowed = verdict == types.Allow
	return d
}

// merge is the decision of two sets of rules together: a forbid of either counts, and then a permit of either. In a
// Decision of authorize that is no permission, the rules are forbids.
func merge(a, b Decision) Decision {
	d := Decision{Failed: append(a.Failed[:len(a.Failed):len(a.Failed)], b.Failed...)}
	forbidA, forbidB := !a.Allowed && len(a.Rules) > 0, !b.Allowed && len(b.Rules) > 0
	switch {
	case forbidA && forbidB, a.Allowed && b.Allowed:
		d.Rules = append(a.Rules[:len(a.Rules):len(a.Rules)], b.Rules...)
		d.Allowed = a.Allowed
	case forbidA, a.Allowed && !forbidB:
		d.Rules, d.Allowed = a.Rules, a.Allowed
	default:
		d.Rules, d.Allowed = b.Rules, b.Allowed
	}
	return d
}

// permitsBeyondRoles reports whether a policy, not a role, may permit act to who: then lists must look at every row.
func (r *OrgRules) permitsBeyondRoles(q question, act Action) bool {
	if r == nil {
		return false
	}
	p, ok := r.plans[act]
	if !ok {
		return false
	}
	for _, l := range p.ofSomething(q) {
		for _, x := range l {
			if x.policy.Effect() == cedar.Permit && strings.HasPrefix(string(x.id), policyPrefix) {
				return true
			}
		}
	}
	return false
}

// rolesOnly gives the rules without policies.
func (r *OrgRules) rolesOnly() *OrgRules {
	if r == nil || !r.things {
		return r
	}
	return r.base
}
