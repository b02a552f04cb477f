package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
)

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

// BenchmarkDecideMany is a decision in an organisation with 1,000 policies: the target is 100 µs.
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
