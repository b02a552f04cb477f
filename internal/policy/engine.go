package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"

	"github.com/sessctl/sess/internal/sess"
)

// RuleSessionsOff is the id of the rule that we ship by which nobody starts a session while the Session Manager is off.
const RuleSessionsOff = "limits/sessions-off"

// Engine decides. It holds the compiled rules and nothing else; its methods may be called from any goroutine.
type Engine struct {
	words   *words
	schema  string
	rules   map[Action]plan
	files   []string             // that the rules stand in, without their ending: names that nobody else gets
	texts   map[string]string    // what stands in them
	shipped map[string]Statement // the rules, by id
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
	e := &Engine{words: w, schema: string(text), rules: index(rules, w), texts: map[string]string{}, shipped: map[string]Statement{}}
	return e, e.keepTexts(rules)
}

// keepTexts remembers what the rules look like, for people.
func (e *Engine) keepTexts(rules []rule) error {
	for i, r := range rules {
		file, _, _ := strings.Cut(string(r.id), "/")
		if !slices.Contains(e.files, file) {
			text, err := files.ReadFile("roles/" + file + ".cedar")
			if err != nil {
				return fmt.Errorf("read policies: %w", err)
			}
			e.files, e.texts[file] = append(e.files, file), string(text)
		}
		text := e.texts[file]
		from, to := r.policy.Position().Offset, len(text)
		if i+1 < len(rules) && strings.HasPrefix(string(rules[i+1].id), file+"/") {
			to = rules[i+1].policy.Position().Offset
		}
		s := Statement{Rule: string(r.id), Line: r.policy.Position().Line, Text: strings.TrimSpace(text[from:to]), Forbid: r.policy.Effect() == cedar.Forbid}
		if BuiltIn(sess.Role(file)) {
			s.Role = sess.Role(file)
		}
		e.shipped[s.Rule] = s
	}
	return nil
}

// RoleText gives the Cedar of a role that we ship; empty: there is none of this name.
func (e *Engine) RoleText(r sess.Role) string {
	if !BuiltIn(r) {
		return ""
	}
	return e.texts[string(r)]
}

// Statement gives the rule that has an id in a Decision, one we ship or one of r's; false: there is none (any more).
func (e *Engine) Statement(r *OrgRules, id string) (Statement, bool) {
	if s, ok := e.shipped[id]; ok {
		return s, true
	}
	if r == nil {
		return Statement{}, false
	}
	if s, ok := r.sources[id]; ok {
		return s, true
	}
	return r.lockStatement(id)
}

// Schema gives the words of policies, as Cedar schemas are written, with comments.
func (e *Engine) Schema() string { return e.schema }

// RoleSummary says in a line what a role that we ship is for.
func RoleSummary(r sess.Role) string {
	return map[sess.Role]string{
		sess.RoleAdmin:        "everything in the organisation, but nobody else's session",
		sess.RoleProjectAdmin: "what org-admin may, in one project: instances, sessions, tokens, and who has which role there",
		sess.RoleOperator:     "works on instances",
		sess.RoleSupport:      "sees sessions and how instances are, and helps in a session when its owner lets them in",
		sess.RoleReadOnly:     "sees what there is and who is on what; starts, changes and replays nothing",
		sess.RoleAuditor:      "reads all evidence; starts and changes nothing, and never joins a session",
	}[r]
}

// BuiltInRoles lists the roles that we ship, the narrow ones first.
func BuiltInRoles() []sess.Role {
	return []sess.Role{sess.RoleReadOnly, sess.RoleSupport, sess.RoleAuditor, sess.RoleOperator, sess.RoleProjectAdmin, sess.RoleAdmin}
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
	if l, ok := e.Lock(who, grants, act, on, cx); ok {
		return Decision{Rules: []string{l.Rule()}, Lock: &l}
	}
	q, ok := e.request(who, grants, act, on, cx)
	if !ok {
		return Decision{}
	}
	d := e.judge(q, act, cx)
	if d.Allowed {
		if role, why := cx.Rules.limits(grants, act, on); why != "" {
			return Decision{Rules: []string{role + "/controls"}, Limit: why}
		}
	}
	if !d.Allowed && len(d.Failed) == 0 {
		d.Missing = e.missing(q, who, grants, act, on, cx)
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
	if _, locked := e.Lock(who, grants, act, on, cx); locked {
		return false
	}
	q, ok := e.request(who, grants, act, on, cx)
	if !ok || !e.judge(q, act, cx).Allowed {
		return false
	}
	_, why := cx.Rules.limits(grants, act, on)
	return why == ""
}

// AppliesTo reports whether somebody can be allowed act on a thing of type t at all.
func (e *Engine) AppliesTo(act Action, t Type) bool { return e.words.applies[act][entityType(t)] }

// Scope says on which things of type t who may do act.
func (e *Engine) Scope(who sess.Principal, grants []sess.Grant, act Action, t Type, cx Context) Scope {
	any := Resource{Org: who.Org, Type: t}
	if q, ok := e.request(who, grants, act, any, cx); ok && cx.Rules.permitsBeyondRoles(q, act) {
		return Scope{Org: true} // by labels, say
	}
	cx.Rules = cx.Rules.rolesOnly()
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
func (e *Engine) judge(q question, act Action, cx Context) Decision {
	ours := e.rules[act].candidates(q)
	d := merge(authorize(&ours, q.entities, q.Request), cx.Rules.judge(q, act, cx.Now))
	slices.Sort(d.Failed)
	slices.Sort(d.Rules)
	// Cedar skips a rule that fails; were it a forbid, that would let something through.
	d.Allowed = d.Allowed && len(d.Failed) == 0
	return d
}

// missing says which role would have allowed it, by asking again with each.
func (e *Engine) missing(q question, who sess.Principal, grants []sess.Grant, act Action, on Resource, cx Context) string {
	for _, project := range slices.Compact([]sess.ProjectID{on.Project, ""}) {
		var roles []string
		try := func(r sess.Role) {
			with := append(slices.Clone(grants), sess.Grant{Role: r, Project: project})
			q.entities[q.Principal] = userEntity(who, with, scope(string(on.Org)), cx)
			if e.judge(q, act, cx).Allowed {
				roles = append(roles, string(r))
			}
		}
		for _, r := range BuiltInRoles() {
			try(r)
		}
		if Grantable(act) && cx.Rules != nil {
			for _, r := range slices.Sorted(maps.Keys(cx.Rules.roles)) {
				if len(roles) < maxMissing {
					try(r)
				}
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

// maxMissing bounds the roles that a refusal names.
const maxMissing = 8

// Describe gives what an action is in words, for "you may not …"; an unknown one is its own name.
func Describe(act Action) string {
	for _, a := range Actions() {
		if a.Action == act {
			return a.Summary
		}
	}
	return string(act)
}

// probes are the types of things, and whether they lie in projects.
func probes() map[Type]bool {
	return map[Type]bool{
		TypeOrg: false, TypeUser: false, TypeGroup: false, TypeKey: false, TypeLogin: false, TypeLog: false,
		TypeProject: true, TypeInstance: true, TypeSession: true, TypeRecording: true, TypeToken: true, TypeGrant: true,
		TypeLock: true,
	}
}

// Covers reports whether who may itself do all that grant would allow them, to their own things and to others': what one
// does not hold one can't give. If not, it names an action that is missing.
func (e *Engine) Covers(who sess.Principal, grants []sess.Grant, give sess.Grant, cx Context) (Action, bool) {
	cx.SessionsOff = false // what a role allows is given for the time after, too
	for _, a := range Actions() {
		for t, inProject := range probes() {
			on := Resource{Org: who.Org, Type: t, Role: roleOfProbe}
			if inProject {
				on.Project = give.Project
			}
			for _, on.Owner = range []sess.UserID{who.User, ""} {
				if e.Allows(who, []sess.Grant{give}, a.Action, on, cx) && !e.Allows(who, grants, a.Action, on, cx) {
					return a.Action, false
				}
			}
		}
	}
	return "", true
}

// roleOfProbe is the role that grants are about when Covers asks about giving roles.
const roleOfProbe = sess.RoleReadOnly
