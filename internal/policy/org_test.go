package policy_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

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
		{Name: "dba", Body: `permit (principal in Group::"dba", action == Action::"instance:show", resource is Instance) when { resource.hasTag("db") };`},
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

// atom is a condition of the small family that the oracle of TestPoliciesAgainstOracle knows.
type atom struct {
	text  string
	holds func(q ask) bool
}

type ask struct {
	who    sess.Principal
	groups []string
	on     policy.Resource
	hour   int
}

func atoms() []atom {
	label := func(k, v string) atom {
		return atom{fmt.Sprintf("resource.hasTag(%q) && resource.getTag(%q) == %q", k, k, v), func(q ask) bool { l, ok := q.on.Labels[k]; return ok && l == v }}
	}
	return []atom{
		label("env", "prod"), label("env", "dev"), label("tier", "1"),
		{`resource.project == "web"`, func(q ask) bool { return q.on.Project == "prj_1" }},
		{`"db" == resource.project`, func(q ask) bool { return q.on.Project == "prj_2" }},
		{`resource.region == "eu"`, func(q ask) bool { return q.on.Region == "eu" }},
		{`["web-1", "web-2"].contains(resource.name)`, func(q ask) bool { return q.on.Name == "web-1" || q.on.Name == "web-2" }},
		{`resource.name like "web-*"`, func(q ask) bool { return strings.HasPrefix(q.on.Name, "web-") }},
		{`context.kind == "exec"`, func(q ask) bool { return q.on.SessionKind == sess.KindExec }},
		{`context.osUser == "root"`, func(q ask) bool { return q.on.OSUser == "root" }},
		{`principal.kind == "machine"`, func(q ask) bool { return q.who.UserKind == sess.UserMachine }},
		{`principal in Group::"dba"`, func(q ask) bool { return slices.Contains(q.groups, "dba") }},
		{`principal in Group::"ops"`, func(q ask) bool { return slices.Contains(q.groups, "ops") }},
		{`context.hour >= 9 && context.hour < 17`, func(q ask) bool { return q.hour >= 9 && q.hour < 17 }},
		{`context has address && context.address.isInRange(ip("192.0.2.0/24"))`, func(q ask) bool { return netip.MustParsePrefix("192.0.2.0/24").Contains(q.who.Addr) }},
		{`context.reason != ""`, func(q ask) bool { return q.on.Reason != "" }},
	}
}

// generated is a policy and what it means.
type generated struct {
	body    string
	forbid  bool
	applies func(ask) bool
}

func drawPolicy(t *rapid.T) generated {
	all := atoms()
	g := generated{forbid: rapid.Bool().Draw(t, "forbid")}
	var when, unless []atom
	for _, a := range rapid.SliceOfN(rapid.SampledFrom(all), 0, 3).Draw(t, "when") {
		when = append(when, a)
	}
	for _, a := range rapid.SliceOfN(rapid.SampledFrom(all), 0, 1).Draw(t, "unless") {
		unless = append(unless, a)
	}
	or := rapid.Bool().Draw(t, "or")
	head := rapid.SampledFrom([]string{"principal", "principal is User", `principal in Group::"dba"`, `principal == User::"usr_alice"`}).Draw(t, "principal")
	thing := rapid.SampledFrom([]string{"resource is Instance", `resource == Instance::"ins_1"`}).Draw(t, "resource")
	effect := "permit"
	if g.forbid {
		effect = "forbid"
	}
	g.body = fmt.Sprintf("%s (%s, action == Action::\"session:start\", %s)", effect, head, thing)
	join := " && "
	if or {
		join = " || "
	}
	texts := func(as []atom) string {
		var s []string
		for _, a := range as {
			s = append(s, "("+a.text+")")
		}
		return strings.Join(s, join)
	}
	if len(when) > 0 {
		g.body += " when { " + texts(when) + " }"
	}
	if len(unless) > 0 {
		g.body += " unless { " + texts(unless) + " }"
	}
	g.body += ";"
	g.applies = func(q ask) bool {
		ok := map[string]bool{`principal in Group::"dba"`: slices.Contains(q.groups, "dba"), `principal == User::"usr_alice"`: q.who.User == alice}
		if v, special := ok[head]; special && !v || strings.Contains(thing, "ins_1") && q.on.ID != "ins_1" {
			return false
		}
		is := func(a atom) bool { return a.holds(q) }
		some := slices.ContainsFunc(when, is)
		every := !slices.ContainsFunc(when, func(a atom) bool { return !is(a) })
		holds := every
		if or && len(when) > 0 {
			holds = some
		}
		return holds && !slices.ContainsFunc(unless, is)
	}
	return g
}

// TestPoliciesAgainstOracle compares decisions with roles, groups and policies with a reading of the same by hand, which knows
// neither Cedar nor the index.
func TestPoliciesAgainstOracle(t *testing.T) {
	e := newEngine(t)
	allowed := 0
	prop := func(t *rapid.T) {
		policies := rapid.SliceOfN(rapid.Custom(drawPolicy), 0, 8).Draw(t, "policies")
		src := policy.Source{
			Roles:    []policy.CustomRole{{Name: "dep", Actions: []policy.Action{policy.SessionStart}}, {Name: "look", Actions: []policy.Action{policy.InstanceShow}}},
			Projects: map[sess.ProjectID]string{"prj_1": "web", "prj_2": "db"},
		}
		for i, p := range policies {
			src.Policies = append(src.Policies, policy.Text{Name: fmt.Sprintf("p%d", i), Body: p.body})
		}
		r := e.Compile(src, nil)
		if len(r.Broken()) > 0 {
			t.Fatalf("don't compile: %v", r.Broken())
		}
		q := ask{hour: rapid.IntRange(0, 23).Draw(t, "hour"), groups: rapid.SampledFrom([][]string{nil, {"dba"}, {"ops"}, {"dba", "ops"}}).Draw(t, "groups")}
		q.who = person(rapid.SampledFrom([]sess.UserID{alice, bob}).Draw(t, "user"))
		q.who.UserKind = rapid.SampledFrom([]sess.UserKind{sess.UserLocal, sess.UserMachine}).Draw(t, "kind of user")
		q.who.Addr = rapid.SampledFrom([]netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8::1")}).Draw(t, "address")
		id := rapid.SampledFrom([]string{"1", "2", "9"}).Draw(t, "instance")
		q.on = policy.Resource{
			Org: org, Type: policy.TypeInstance, ID: "ins_" + id, Name: rapid.SampledFrom([]string{"web-", "db-"}).Draw(t, "name") + id,
			Project: rapid.SampledFrom([]sess.ProjectID{"", "prj_1", "prj_2"}).Draw(t, "project"), Region: rapid.SampledFrom([]string{"", "eu"}).Draw(t, "region"),
			Labels: rapid.SampledFrom([]map[string]string{nil, {"env": "prod"}, {"env": "dev", "tier": "1"}, {"tier": "1"}}).Draw(t, "labels"),
			OSUser: rapid.SampledFrom([]string{"", "root"}).Draw(t, "os user"), SessionKind: rapid.SampledFrom([]sess.Kind{sess.KindShell, sess.KindExec}).Draw(t, "kind"),
			Reason: rapid.SampledFrom([]string{"", "ticket 1"}).Draw(t, "reason"),
		}
		grants := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) sess.Grant {
			return sess.Grant{
				Role:    rapid.SampledFrom([]sess.Role{sess.RoleOperator, sess.RoleAuditor, "dep", "look", "gone"}).Draw(t, "role"),
				Project: rapid.SampledFrom([]sess.ProjectID{"", "prj_1", "prj_2"}).Draw(t, "on"),
			}
		}), 0, 2).Draw(t, "grants")

		want := slices.ContainsFunc(grants, func(g sess.Grant) bool {
			return (g.Role == sess.RoleOperator || g.Role == "dep") && (g.Project == "" || g.Project == q.on.Project)
		})
		for _, p := range policies {
			want = want || !p.forbid && p.applies(q)
		}
		for _, p := range policies {
			want = want && !(p.forbid && p.applies(q))
		}
		cx := policy.Context{Now: int64(q.hour) * 3600e6, Rules: r, Groups: q.groups}
		got := e.Decide(q.who, grants, policy.SessionStart, q.on, cx)
		if got.Allowed != want || len(got.Failed) > 0 {
			t.Fatalf("%+v, want %v", got, want)
		}
		if e.Allows(q.who, grants, policy.SessionStart, q.on, cx) != want {
			t.Fatal("Allows says otherwise")
		}
		asker := e.Asker(q.who, grants, cx)
		asker.On(web1())
		asker.On(q.on)
		q.on.Reason = "" // an Asker knows of none
		if got := asker.Allows(policy.SessionStart, q.on.SessionKind, q.on.OSUser); got != e.Allows(q.who, grants, policy.SessionStart, q.on, cx) {
			t.Fatalf("Asker says %v", got)
		}
		for _, id := range got.Rules {
			if s, ok := e.Statement(r, id); !ok || s.Text == "" || s.Forbid == got.Allowed {
				t.Fatalf("rule %s is %+v", id, s)
			}
		}
		if want {
			allowed++
		}
	}
	for range 20 {
		rapid.Check(t, prop)
	}
	if allowed < 100 {
		t.Errorf("only %d were allowed", allowed)
	}
}

// many makes 1,000 policies of a kind.
func many(kind string) []policy.Text {
	var out []policy.Text
	for i := range policy.MaxPolicies {
		body := map[string]string{
			"labels":    fmt.Sprintf(`permit (principal, action == Action::"session:start", resource is Instance) when { resource.hasTag("app") && resource.getTag("app") == "app-%d" };`, i),
			"groups":    fmt.Sprintf(`permit (principal in Group::"g%d", action == Action::"session:start", resource is Instance) when { resource.hasTag("app") };`, i),
			"projects":  fmt.Sprintf(`forbid (principal, action == Action::"session:start", resource is Instance) when { resource.project == "p%d" && context.hour < 6 };`, i),
			"addresses": fmt.Sprintf(`permit (principal, action == Action::"session:start", resource is Instance) when { context has address && context.address.isInRange(ip("10.%d.%d.0/24")) };`, i/250, i%250),
		}
		k := kind
		if kind == "mixed" {
			k = []string{"labels", "groups", "projects", "labels", "groups", "projects", "labels", "groups", "projects", "addresses"}[i%10]
		}
		out = append(out, policy.Text{Name: fmt.Sprintf("p%d", i), Body: body[k]})
	}
	return out
}

// BenchmarkDecideMany is a decision in an organisation with 1,000 policies: the target is 100 µs. Addresses can't be found by
// anything: each is evaluated.
func BenchmarkDecideMany(b *testing.B) {
	e := newEngine(b)
	for _, kind := range []string{"labels", "groups", "projects", "mixed", "addresses"} {
		cx := policy.Context{Rules: compile(b, e, policy.Source{Policies: many(kind)}), Groups: []string{"g1", "g2", "g3"}}
		on := web1()
		on.Labels = map[string]string{"env": "prod", "app": "app-7", "team": "x"}
		grants := []sess.Grant{{Role: sess.RoleOperator, Project: "prj_1"}}
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				e.Decide(person(alice), grants, policy.SessionStart, on, cx)
			}
		})
	}
}

// BenchmarkAccess is what one may do on 1,000 instances in an organisation with 1,000 policies: the target is 100 ms.
func BenchmarkAccess(b *testing.B) {
	e := newEngine(b)
	cx := policy.Context{Rules: compile(b, e, policy.Source{Policies: many("mixed")}), Groups: []string{"g1", "g2", "g3"}}
	var things []policy.Resource
	for i := range 1000 {
		on := web1()
		on.ID, on.Name = fmt.Sprintf("ins_%d", i), fmt.Sprintf("web-%d", i)
		on.Labels = map[string]string{"env": "prod", "app": fmt.Sprintf("app-%d", i), "team": "x"}
		things = append(things, on)
	}
	grants := []sess.Grant{{Role: sess.RoleOperator, Project: "prj_1"}}
	acts := []policy.Action{policy.InstanceShow, policy.InstanceChange, policy.InstanceMove, policy.InstanceRemove}
	for b.Loop() {
		a := e.Asker(person(alice), grants, cx)
		for _, on := range things {
			a.On(on)
			for _, k := range sess.KindNames() {
				a.Allows(policy.SessionStart, sess.Kind(k), "")
			}
			for _, act := range acts {
				a.Allows(act, "", "")
			}
		}
	}
}

func BenchmarkCompileMany(b *testing.B) {
	e := newEngine(b)
	src := policy.Source{Policies: many("mixed")}
	first := e.Compile(src, nil)
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			e.Compile(src, nil)
		}
	})
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			e.Compile(src, first)
		}
	})
}

// FuzzPolicy: whatever text comes in, checking it ends soon and never panics, and what is accepted compiles and decides.
func FuzzPolicy(f *testing.F) {
	for _, t := range many("mixed")[:10] {
		f.Add(t.Body)
	}
	f.Add(`@timezone("Europe/Berlin") @id("a") forbid (principal, action, resource) unless { context.weekday == "monday" };`)
	f.Add(`permit (principal, action, resource) when { if context.hour > 1 then true else !false };`)
	f.Add(strings.Repeat("!", 1000))
	f.Add(`forbid(principal,action,resource)when{` + strings.Repeat("-", 200) + `1 == 1};`)
	f.Add(`forbid(principal,action,resource)when{context.reason like "` + strings.Repeat("*a", 500) + `"};`)
	e, err := policy.New()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		began := time.Now()
		text := policy.Text{Name: "p", Body: body}
		if err := e.CheckPolicy(text); err != nil {
			if x := sess.Public(err); x.Code != sess.CodeInvalid && x.Code != sess.CodeTooLarge {
				t.Fatalf("%v", err)
			}
			return
		}
		r := e.Compile(policy.Source{Policies: []policy.Text{text}}, nil)
		if len(r.Broken()) > 0 {
			t.Fatal("accepted, and does not compile")
		}
		on := web1()
		on.Reason = strings.Repeat("a", 500)
		e.Decide(person(alice), []sess.Grant{{Role: sess.RoleAdmin}}, policy.SessionStart, on, policy.Context{Rules: r})
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("took %s", took)
		}
	})
}

// Policies made to be slow are refused, or checked and decided in a bounded time.
func TestHostilePoliciesAreBounded(t *testing.T) {
	e := newEngine(t)
	head := `forbid (principal, action, resource) when { `
	instance := `forbid (principal, action == Action::"session:start", resource is Instance) when { `
	for name, body := range map[string]string{
		"many ors":       head + strings.Repeat(`context.kind == "x" || `, 780) + "true };",
		"many ands":      head + strings.Repeat(`context.kind == "shell" && `, 780) + "true };",
		"many has":       instance + strings.Repeat(`resource.hasTag("a") && `, 780) + "true };",
		"ifs":            head + strings.Repeat(`if context.kind == "x" then true else `, 480) + "false };",
		"nested ifs":     head + strings.Repeat(`if `, 3000) + "true" + strings.Repeat(` then true else false`, 3000) + " };",
		"ifs in then":    head + strings.Repeat(`if context.hour == 1 then `, 560) + "true" + strings.Repeat(" else false", 560) + " };",
		"nots":           head + strings.Repeat("!", 3000) + "true };",
		"negations":      head + strings.Repeat("-", 3000) + "1 == 1 };",
		"like":           head + `context.reason like "` + strings.Repeat("*a", 5000) + `b" };`,
		"likes":          head + strings.Repeat(`context.reason like "*a*a*a*a*a*a*a*a*b" || `, 900) + "false };",
		"big set":        head + "[" + strings.Repeat(`"abcdefgh", `, 3000) + `"x"].contains(context.kind) };`,
		"records":        head + strings.Repeat(`{a: `, 60) + "1" + strings.Repeat("}", 60) + " == 1 };",
		"sums":           head + strings.Repeat("1 + ", 10000) + "1 == 2 };",
		"attributes":     head + "context" + strings.Repeat(".kind", 8000) + " == 1 };",
		"statements":     strings.Repeat("forbid (principal, action, resource) when { context.kind == \"x\" };\n", 200),
		"actions":        "forbid (principal, action in [" + strings.Repeat(`Action::"session:start", `, 2600) + `Action::"session:start"], resource);`,
		"annotations":    strings.Repeat("@a(\"b\")\n", 8000) + "forbid (principal, action, resource);",
		"long text":      head + `context.reason == "` + strings.Repeat("x", 60_000) + `" };`,
		"comment":        strings.Repeat("// x\n", 12_000) + "forbid (principal, action, resource);",
		"unclosed text":  head + `"` + strings.Repeat("a", 60_000),
		"deep methods":   head + strings.Repeat(`ip("1.2.3.4").isInRange(`, 60) + `ip("1.2.3.4")` + strings.Repeat(")", 60) + " };",
		"many sets":      head + "[[[[[[[[[[1]]]]]]]]]].contains([[1]]) };",
		"wide equal set": head + "[" + strings.Repeat("1, ", 1900) + "1] == [" + strings.Repeat("2, ", 1900) + "2] };",
	} {
		began := time.Now()
		text := policy.Text{Name: "p", Body: body}
		err := e.CheckPolicy(text)
		took := time.Since(began)
		if err == nil {
			cx := policy.Context{Rules: e.Compile(policy.Source{Policies: []policy.Text{text}}, nil)}
			on := web1()
			on.Reason = strings.Repeat("a", 500)
			began = time.Now()
			e.Decide(person(alice), []sess.Grant{{Role: sess.RoleAdmin}}, policy.SessionStart, on, cx)
			if d := time.Since(began); d > 200*time.Millisecond {
				t.Errorf("%s: a decision took %s", name, d)
			}
		}
		t.Logf("%s: %s, accepted %v", name, took, err == nil)
		if took > 3*time.Second {
			t.Errorf("%s: the check took %s", name, took)
		}
	}
}
