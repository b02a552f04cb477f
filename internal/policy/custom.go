package policy

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"

	"github.com/sessctl/sess/internal/sess"
)

// policyPrefix begins the ids of rules that stand in policies.
const policyPrefix = "policy/"

// Limits of what an organisation adds.
const (
	MaxPolicies   = 1000
	MaxPolicyText = 64 << 10 // bytes of one policy
	MaxOrgText    = 1 << 20  // bytes of all policies of an organisation: what a decision may have to evaluate
	MaxRoles      = 200
	MaxControls   = 64 // names in a list of controls
	MaxSummary    = 200
)

var (
	roleName   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	policyName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	osUserName = regexp.MustCompile(`^[A-Za-z0-9._@\\-]{1,64}$`)
)

// alwaysOpen are the actions that an organisation's own rules have no say in: the way in, the way to mend the rules, and locks,
// which are for the moment when something is wrong.
func alwaysOpen(act Action) bool {
	return slices.Contains([]Action{Login, Accept, Logout, Whoami}, act) ||
		strings.HasPrefix(string(act), "role:") || strings.HasPrefix(string(act), "policy:") || strings.HasPrefix(string(act), "lock:")
}

// Governed reports whether an organisation's own rules have a say in act.
func Governed(act Action) bool { return !alwaysOpen(act) }

// ownSession are the actions on a session that are only ever its owner's.
func ownSession(act Action) bool {
	return act == SessionRedeem || act == SessionResume || act == SessionAttach
}

// Grantable reports whether an organisation's own role or policy may permit act: what concerns instances, sessions,
// recordings and evidence. What makes people, roles or credentials it can't hand on, so that nobody comes by more than an
// admin meant.
func Grantable(act Action) bool {
	switch family, _, _ := strings.Cut(string(act), ":"); family {
	case "instance", "session", "recording", "token", "audit":
		return !ownSession(act) && act != InstanceConnect
	}
	return act == KeyListAll
}

// GrantableActions lists them.
func GrantableActions() []Action {
	var acts []Action
	for _, a := range Actions() {
		if Grantable(a.Action) {
			acts = append(acts, a.Action)
		}
	}
	return acts
}

// mayGovern reports whether a rule of an organisation's own counts for act.
func mayGovern(r rule, act Action) bool {
	return Governed(act) && (r.policy.Effect() == cedar.Forbid || Grantable(act))
}

// BuiltIn reports whether a role is one that we ship.
func BuiltIn(r sess.Role) bool {
	return slices.Contains(BuiltInRoles(), r)
}

// reserved are names that a role can't have: those of roles and rules we ship, and first parts of rules' ids.
func (e *Engine) reserved(name sess.Role) bool {
	return BuiltIn(name) || slices.Contains(e.files, string(name)) || name == "policy" || name == "lock" || name == "role" || name == "fixed"
}

// CheckRole says what is wrong with a role that somebody wants; nil: nothing. It puts the actions in order.
func (e *Engine) CheckRole(c *CustomRole) error {
	bad := func(hint, format string, a ...any) error {
		return sess.New(sess.CodeInvalid, fmt.Sprintf(format, a...), hint)
	}
	switch {
	case !roleName.MatchString(string(c.Name)):
		return bad("use up to 32 lower-case letters, digits and '-', a letter first", "%q can't be the name of a role", clip(string(c.Name)))
	case e.reserved(c.Name):
		return bad("choose another name", "the name %s is taken by sess itself", c.Name)
	case len(c.Summary) > MaxSummary:
		return bad("", "the summary has more than %d bytes", MaxSummary)
	case len(c.Actions) == 0:
		return bad("name the actions it allows: docs/reference/permissions.md lists them", "the role allows nothing")
	case len(c.Controls.OSUsers) > MaxControls || len(c.Controls.Kinds) > MaxControls:
		return bad("", "a role lists at most %d users or kinds", MaxControls)
	}
	for _, a := range c.Actions {
		if Grantable(a) && Describe(a) != string(a) {
			continue
		}
		if i := slices.IndexFunc(Actions(), func(x Info) bool { return x.Action == a }); i >= 0 {
			return bad(whyNot(Actions()[i]), "a role of your own can't allow %s", a)
		}
		return bad(didYouMean(string(a), actionNames()), "there is no action %q", clip(string(a)))
	}
	for _, u := range c.Controls.OSUsers {
		if !osUserName.MatchString(u) {
			return bad("", "%q can't be a user on an instance", clip(u))
		}
	}
	for _, k := range c.Controls.Kinds {
		if _, ok := sess.Kinds[k]; !ok {
			return bad("the kinds are "+strings.Join(sess.KindNames(), ", "), "there is no kind of session %q", clip(string(k)))
		}
	}
	slices.Sort(c.Actions)
	c.Actions = slices.Compact(c.Actions)
	return c.Controls.Check()
}

func whyNot(a Info) string {
	switch {
	case ownSession(a.Action):
		return "whoever may start a session may come back to it: allow session:start"
	case slices.Contains(a.Roles, Everyone):
		return "everybody may do that anyway"
	}
	return "that is for org-admin alone, so that nobody comes by more than an admin meant"
}

func actionNames() []string {
	var names []string
	for _, a := range Actions() {
		names = append(names, string(a.Action))
	}
	return names
}

// CheckPolicyName says what is wrong with the name of a policy; nil: nothing.
func CheckPolicyName(name string) error {
	if policyName.MatchString(name) {
		return nil
	}
	return sess.New(sess.CodeInvalid, fmt.Sprintf("%q can't be the name of a policy", clip(name)), "use up to 64 lower-case letters, digits, '.', '_' and '-'")
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// lists are the actions that ask for a list, which shows what one may see: who holds a role anywhere may ask.
var lists = []Action{InstanceList, SessionList, RecordingList}

// RoleText gives a custom role as the Cedar that it means.
func RoleText(c CustomRole) string {
	var anywhere, there []Action
	for _, a := range c.Actions {
		switch {
		case slices.Contains(lists, a):
			anywhere = append(anywhere, a)
		case Grantable(a):
			there = append(there, a)
		}
	}
	starts := slices.Contains(there, SessionStart)
	if starts { // who starts sessions sees where, and what became of them
		there = append(there, InstanceShow)
		anywhere = append(anywhere, InstanceList, SessionList, RecordingList)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "// %s: %s\n", c.Name, cmp.Or(strings.Join(strings.Fields(c.Summary), " "), "a role of the organisation's own"))
	held := fmt.Sprintf("principal.hasTag(%q)", c.Name)
	if len(anywhere) > 0 {
		permit(&b, "lists", anywhere, "resource is Org", held+" && resource in principal.org")
	}
	reach := held + fmt.Sprintf(" && resource in principal.getTag(%q)", c.Name)
	if len(there) > 0 {
		permit(&b, "allows", there, "resource", reach)
	}
	if starts {
		permit(&b, "own-recordings", []Action{RecordingShow, RecordingReplay, RecordingCommands}, "resource is Recording", reach+" && resource has owner && resource.owner == principal")
	}
	return b.String()
}

func permit(b *strings.Builder, id string, acts []Action, resource, when string) {
	slices.Sort(acts)
	acts = slices.Compact(acts)
	fmt.Fprintf(b, "\n@id(%q)\npermit (\n  principal is User,\n  action in [", id)
	for i, a := range acts {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(b, "Action::%q", string(a))
	}
	fmt.Fprintf(b, "],\n  %s\n)\nwhen { %s };\n", resource, when)
}
