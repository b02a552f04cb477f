package policy_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
)

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
		{`context has address && (context.address.isInRange(ip("192.0.2.7/32")) || context.address.isInRange(ip("2001:db8::/32")))`, func(q ask) bool {
			return netip.MustParsePrefix("192.0.2.7/32").Contains(q.who.Addr) || netip.MustParsePrefix("2001:db8::/32").Contains(q.who.Addr)
		}},
		{`context has address && context.address.isInRange(ip("203.0.113.99/24"))`, func(q ask) bool { return netip.MustParsePrefix("203.0.113.0/24").Contains(q.who.Addr) }},
		{`context has address && !context.address.isInRange(ip("0.0.0.0/0"))`, func(q ask) bool { return !q.who.Addr.Is4() }},
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
	when := rapid.SliceOfN(rapid.SampledFrom(all), 0, 3).Draw(t, "when")
	unless := rapid.SliceOfN(rapid.SampledFrom(all), 0, 1).Draw(t, "unless")
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
			want = want && (!p.forbid || !p.applies(q))
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
