package policy

import (
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/sess"
)

func testWords(t *testing.T) *words {
	t.Helper()
	text, err := files.ReadFile("schema.cedarschema")
	if err != nil {
		t.Fatal(err)
	}
	w, err := loadWords(text)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestStrictValidationRefuses(t *testing.T) {
	w := testWords(t)
	for name, text := range map[string]string{
		"unknown attribute":          `@id("x") permit (principal is User, action == Action::"session:start", resource is Instance) when { resource.colour == "red" };`,
		"unknown action":             `@id("x") permit (principal is User, action == Action::"session:stort", resource is Instance);`,
		"action that does not apply": `@id("x") permit (principal is User, action == Action::"session:start", resource is Key);`,
		"different types":            `@id("x") permit (principal is User, action == Action::"session:start", resource is Instance) when { resource.name == 1 };`,
		"optional attribute":         `@id("x") permit (principal is User, action == Action::"session:end", resource is Session) when { resource.owner == principal };`,
		"tag without asking":         `@id("x") permit (principal is User, action == Action::"session:start", resource is Instance) when { resource.getTag("env") == "prod" };`,
		"no id":                      `permit (principal is User, action == Action::"session:start", resource is Instance);`,
		"same id twice":              `@id("x") permit (principal, action, resource); @id("x") permit (principal, action, resource);`,
		"syntax":                     `@id("x") permit (principal, action, resource)`,
	} {
		if _, err := parseRules("test.cedar", []byte(text), w); err == nil {
			t.Errorf("%s: accepted", name)
		} else if !strings.Contains(err.Error(), "test.cedar") {
			t.Errorf("%s: the error does not say where: %v", name, err)
		}
	}
}

// A forbid that fails must not be skipped as Cedar does.
func TestFailingRuleDenies(t *testing.T) {
	w := testWords(t)
	good, err := parseRules("good.cedar", []byte(`@id("all") permit (principal is User, action == Action::"session:start", resource is Instance);`), w)
	if err != nil {
		t.Fatal(err)
	}
	// The schema lets arithmetic through that overflows when it runs.
	bad, err := parseRules("bad.cedar", []byte(`@id("overflow") forbid (principal is User, action == Action::"session:start", resource is Instance)
		when { 9223372036854775807 + 1 == 0 };`), w)
	if err != nil {
		t.Fatal(err)
	}
	who := sess.Principal{Org: "org_a", User: "usr_a", Credential: sess.CredentialLogin}
	on := Resource{Org: "org_a", Type: TypeInstance, ID: "ins_1"}
	e := &Engine{words: w, rules: index(good, w)}
	if d := e.Decide(who, nil, SessionStart, on, Context{}); !d.Allowed {
		t.Fatalf("without the failing rule: %+v", d)
	}
	e = &Engine{words: w, rules: index(append(good, bad...), w)}
	d := e.Decide(who, nil, SessionStart, on, Context{})
	if d.Allowed || len(d.Failed) != 1 || d.Failed[0] != "bad/overflow" {
		t.Fatalf("with a failing rule: %+v", d)
	}
}

// What the engine asks Cedar must itself fit the schema, or the check of policies would prove nothing.
func TestRequestsFitTheSchema(t *testing.T) {
	e, err := New()
	if err != nil {
		t.Fatal(err)
	}
	checkRequests(t, e)
}
