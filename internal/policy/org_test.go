package policy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
)

func web1() policy.Resource {
	return policy.Resource{Org: org, Project: "prj_1", Type: policy.TypeInstance, ID: "ins_1", Name: "web-1", Instance: "ins_1", SessionKind: sess.KindShell}
}

func compile(tb testing.TB, e *policy.Engine, src policy.Source) *policy.OrgRules {
	tb.Helper()
	if src.Projects == nil {
		src.Projects = map[sess.ProjectID]string{"prj_1": "web", "prj_2": "db"}
	}
	r := e.Compile(src, nil)
	if b := r.Broken(); len(b) > 0 {
		tb.Fatalf("don't compile: %v", b)
	}
	return r
}

func TestPolicyIsCheckedWithPlaceAndHint(t *testing.T) {
	e := newEngine(t)
	for _, c := range []struct{ body, at, what, hint string }{
		{"permit (principal, action, resource)", "1:", "can't be read", "a policy looks like"},
		{"", "1:1", "empty", "at least one"},
		{"forbid (principal, action == Action::\"session:start\", resource is Instance)\nwhen {\n  resource.nmae == \"x\" };", "3:12", "not found", "did you mean name?"},
		{"forbid (principal, action == Action::\"session:stort\", resource);", "1:", "unrecognized action", "did you mean session:start?"},
		{"forbid (principal is Usr, action, resource);", "1:", "unrecognized entity type", "did you mean User?"},
		{"forbid (principal, action == Action::\"session:start\", resource is Instance) when { resource.getTag(\"env\") == \"x\" };", "1:", "tag", "hasTag"},
		{"forbid (principal, action == Action::\"session:start\", resource) when { context.mfaAge > 3 };", "1:", "optional", "context has mfaAge"},
		{"forbid (principal, action == Action::\"session:start\", resource is Key);", "1:", "applicable action", "does not apply"},
		{"permit (principal, action == Action::\"policy:put\", resource);", "1:1", "can't permit policy:put", "sessctl grant"},
		{"permit (principal, action in [Action::\"session:start\", Action::\"session:attach\"], resource);", "1:1", "can't permit session:attach", ""},
		{"forbid (principal, action == Action::\"policy:delete\", resource);", "1:1", "no say in policy:delete", "lock everybody out"},
		{"@timezone(\"Mars/Olympus\") forbid (principal, action, resource);", "1:1", "no time zone", "Europe/Berlin"},
		{"@timezone(\"Local\") forbid (principal, action, resource);", "1:1", "no time zone", "Europe/Berlin"},
		{"@id(\"a\") forbid (principal, action, resource);\n@id(\"a\") forbid (principal, action, resource);", "2:1", "two statements", "its own"},
		{"forbid (principal, action, resource) when { " + strings.Repeat("(", 100) + "true" + strings.Repeat(")", 100) + " };", "1:", "nested", "flatter"},
		{strings.Repeat("forbid (principal, action, resource);\n", 201), "201:1", "more than 200", "split"},
		{"forbid (principal, action, resource) when { [" + strings.Repeat("1, ", 5000) + "1].contains(2) };", "1:", "too large", "split"},
	} {
		err := e.CheckPolicy(policy.Text{Name: "p", Body: c.body})
		if err == nil {
			t.Errorf("accepted: %.120s", c.body)
			continue
		}
		x := sess.Public(err)
		if !strings.HasPrefix(x.Message, "p:"+c.at) || !strings.Contains(x.Message, c.what) || !strings.Contains(x.Hint, c.hint) {
			t.Errorf("%.100s\n%s\nhint: %s\nwant %s, %s, %s", c.body, x.Message, x.Hint, c.at, c.what, c.hint)
		}
	}
	if err := e.CheckPolicy(policy.Text{Name: "p", Body: strings.Repeat(" ", policy.MaxPolicyText+1)}); sess.Public(err).Code != sess.CodeTooLarge {
		t.Errorf("too large: %v", err)
	}
	if err := e.CheckPolicy(policy.Text{Name: "../p", Body: "forbid (principal, action, resource);"}); err == nil {
		t.Error("a bad name is accepted")
	}
}

// What an organisation writes can't widen more than what concerns its machines, and can't take the way back away.
func TestPoliciesStayInTheirPlace(t *testing.T) {
	e := newEngine(t)
	all := compile(t, e, policy.Source{Policies: []policy.Text{{Name: "all", Body: "permit (principal, action, resource);"}}})
	none := compile(t, e, policy.Source{Policies: []policy.Text{{Name: "none", Body: "forbid (principal, action, resource);"}}})
	for _, a := range policy.Actions() {
		on := policy.Resource{Org: org, Type: typeFor(a.Action), Owner: bob}
		nobody := e.Decide(person(alice), nil, a.Action, on, policy.Context{})
		d := e.Decide(person(alice), nil, a.Action, on, policy.Context{Rules: all})
		if d.Allowed != (nobody.Allowed || policy.Grantable(a.Action)) {
			t.Errorf("%s, where everything is permitted: %+v", a.Action, d)
		}
		on.Owner = alice
		admin := []sess.Grant{{Role: sess.RoleAdmin}}
		before := e.Decide(person(alice), admin, a.Action, on, policy.Context{})
		d = e.Decide(person(alice), admin, a.Action, on, policy.Context{Rules: none})
		if d.Allowed != (before.Allowed && !policy.Governed(a.Action)) {
			t.Errorf("%s of an admin, where everything is forbidden: %+v", a.Action, d)
		}
	}
	for _, act := range []policy.Action{policy.SessionAttach, policy.SessionResume, policy.SessionRedeem, policy.PolicyPut, policy.RoleCreate, policy.GrantCreate, policy.KeyRotate, policy.UserInvite} {
		if policy.Grantable(act) {
			t.Errorf("%s can be permitted by policies", act)
		}
	}
	foreign := web1()
	foreign.Org = other
	if d := e.Decide(person(alice), nil, policy.SessionStart, foreign, policy.Context{Rules: all}); d.Allowed {
		t.Error("a policy reaches another organisation")
	}
}

func TestCustomRole(t *testing.T) {
	e := newEngine(t)
	role := policy.CustomRole{Name: "deployer", Actions: []policy.Action{policy.SessionStart}, Controls: sess.Controls{OSUsers: []string{"deploy", "www"}, Kinds: []sess.Kind{sess.KindExec}}}
	if err := e.CheckRole(&role); err != nil {
		t.Fatal(err)
	}
	strict := policy.CustomRole{Name: "strict", Actions: []policy.Action{policy.SessionStart}, Controls: sess.Controls{OSUsers: []string{"deploy"}}}
	cx := policy.Context{Rules: compile(t, e, policy.Source{Roles: []policy.CustomRole{role, strict}})}
	grants := []sess.Grant{{Role: "deployer", Project: "prj_1"}}
	ask := func(grants []sess.Grant, kind sess.Kind, user string) policy.Decision {
		on := web1()
		on.SessionKind, on.OSUser = kind, user
		return e.Decide(person(alice), grants, policy.SessionStart, on, cx)
	}
	for _, c := range []struct {
		grants []sess.Grant
		kind   sess.Kind
		user   string
		want   bool
		limit  string
	}{
		{grants, sess.KindExec, "deploy", true, ""},
		{grants, sess.KindExec, "www", true, ""},
		{grants, sess.KindExec, "root", false, "not root"},
		{grants, sess.KindExec, "", false, "name the user"},
		{grants, sess.KindShell, "deploy", false, "not shell"},
		{append(slices.Clone(grants), sess.Grant{Role: "strict"}), sess.KindExec, "www", false, "strict lets you be deploy"},
		{append(slices.Clone(grants), sess.Grant{Role: "strict", Project: "prj_2"}), sess.KindExec, "www", true, ""},
		// What limits a role limits its holder, whatever else they hold there.
		{append(slices.Clone(grants), sess.Grant{Role: sess.RoleAdmin}), sess.KindExec, "root", false, "not root"},
		{[]sess.Grant{{Role: "deployer", Project: "prj_2"}}, sess.KindExec, "deploy", false, ""},
	} {
		d := ask(c.grants, c.kind, c.user)
		if d.Allowed != c.want || !strings.Contains(d.Limit, c.limit) || (c.limit == "") != (d.Limit == "") {
			t.Errorf("%v %s as %q: %+v", c.grants, c.kind, c.user, d)
		}
	}
	if d := ask(nil, sess.KindExec, "deploy"); !strings.Contains(d.Missing, "deployer") {
		t.Errorf("a role of one's own is not named: %+v", d)
	}
	got := cx.Rules.Controls(append(slices.Clone(grants), sess.Grant{Role: "strict"}), web1())
	if !slices.Equal(got.OSUsers, []string{"deploy"}) || !slices.Equal(got.Kinds, []sess.Kind{sess.KindExec}) {
		t.Errorf("controls: %+v", got)
	}
	// It lets its holder come back to what it let them start, and no further.
	s := policy.Resource{Org: org, Project: "prj_1", Type: policy.TypeSession, ID: "ses_1", Owner: bob}
	if e.Allows(person(alice), grants, policy.SessionShow, s, cx) || e.Allows(person(alice), grants, policy.SessionEnd, s, cx) {
		t.Error("somebody else's session is in reach")
	}
}

func TestTimeZone(t *testing.T) {
	e := newEngine(t)
	cx := policy.Context{Rules: compile(t, e, policy.Source{Policies: []policy.Text{
		{Name: "tokyo", Body: "@timezone(\"Asia/Tokyo\") forbid (principal, action == Action::\"session:start\", resource) when { context.weekday == \"monday\" };"},
		{Name: "berlin", Body: "@timezone(\"Europe/Berlin\") forbid (principal, action == Action::\"session:start\", resource) when { context.hour == 9 && context.minute < 30 };"},
		{Name: "utc", Body: "forbid (principal, action == Action::\"session:start\", resource) when { context.hour == 0 };"},
	}})}
	grants := []sess.Grant{{Role: sess.RoleOperator}}
	for at, want := range map[string]string{
		"2026-01-04T15:30:00Z": "policy/tokyo",  // Monday 00:30 there
		"2026-01-05T15:30:00Z": "",              // Tuesday there
		"2026-01-06T08:15:00Z": "policy/berlin", // winter: +1
		"2026-07-07T07:15:00Z": "policy/berlin", // summer: +2
		"2026-07-07T08:15:00Z": "",
		"2026-01-06T00:10:00Z": "policy/utc",
	} {
		now, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		cx.Now = now.UnixMicro()
		d := e.Decide(person(alice), grants, policy.SessionStart, web1(), cx)
		if d.Allowed != (want == "") || (want != "" && !slices.Equal(d.Rules, []string{want})) {
			t.Errorf("%s: %+v, want %s", at, d, want)
		}
	}
}

// A rule of the organisation that fails denies, wherever it stands and whatever it would have said.
func TestFailingPolicyDenies(t *testing.T) {
	e := newEngine(t)
	for name, body := range map[string]string{
		"first":         `permit (principal, action == Action::"session:start", resource) when { context.hour + 9223372036854775807 > 0 };`,
		"before a name": `forbid (principal, action == Action::"session:start", resource is Instance) when { context.hour + 9223372036854775807 > 0 && resource.name == "other" };`,
		"unless":        `forbid (principal, action == Action::"session:start", resource is Instance) when { resource.name == "web-1" } unless { context.hour + 9223372036854775807 > 0 };`,
	} {
		cx := policy.Context{Now: 3600e6 * 5, Rules: compile(t, e, policy.Source{Policies: []policy.Text{{Name: "bad", Body: body}}})}
		d := e.Decide(person(alice), []sess.Grant{{Role: sess.RoleAdmin}}, policy.SessionStart, web1(), cx)
		if d.Allowed || !slices.Equal(d.Failed, []string{"policy/bad"}) {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// One that does not compile (any more) denies what it could have spoken of, and leaves the way to mend it open.
func TestBrokenPolicyDenies(t *testing.T) {
	e := newEngine(t)
	r := e.Compile(policy.Source{Policies: []policy.Text{{Name: "old", Body: `forbid (principal, action == Action::"gone", resource);`}}}, nil)
	cx := policy.Context{Rules: r}
	admin := []sess.Grant{{Role: sess.RoleAdmin}}
	if d := e.Decide(person(alice), admin, policy.SessionStart, web1(), cx); d.Allowed || !slices.Equal(d.Failed, []string{"policy/old"}) {
		t.Errorf("start: %+v", d)
	}
	if d := e.Decide(person(alice), admin, policy.PolicyDelete, policy.Org(org), cx); !d.Allowed {
		t.Errorf("delete: %+v", d)
	}
}

// Lists must look at every row where policies give what no role does, and rows decide.
func TestScopeWithPolicies(t *testing.T) {
	e := newEngine(t)
	cx := policy.Context{Groups: []string{"dba"}, Rules: compile(t, e, policy.Source{Policies: []policy.Text{
		{Name: "dba", Body: `permit (principal in Group::"dba", action == Action::"instance:show", resource is Instance) when { resource.hasTag("env") && resource.getTag("env") == "prod" };`},
		{Name: "off", Body: `forbid (principal, action, resource is Instance) unless { resource.hasTag("on") };`},
	}})}
	if s := e.Scope(person(alice), nil, policy.InstanceShow, policy.TypeInstance, cx); !s.Org {
		t.Errorf("in the group: %+v", s)
	}
	cx.Groups = nil
	grants := []sess.Grant{{Role: sess.RoleReadOnly, Project: "prj_1"}}
	s := e.Scope(person(alice), grants, policy.InstanceShow, policy.TypeInstance, cx)
	if s.Org || !slices.Equal(s.Projects, []sess.ProjectID{"prj_1"}) {
		t.Errorf("not in the group, where a policy forbids some: %+v", s)
	}
}
