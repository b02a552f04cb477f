package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPoliciesGuide tries every example of docs/guides/policies.md: stored, by policy test; and what its expectations say is not so
// without it, at least for one of them.
func TestPoliciesGuide(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "guides", "policies.md"))
	if err != nil {
		t.Fatal(err)
	}
	w := testWorld(t, "web-1", "db-1")
	for _, c := range []string{
		"user create --machine ann --role operator", "user create --machine ben --role read-only", "group create dba", "group add dba ben",
		"instance label web-1 env=dev app=shop", "instance label db-1 env=prod",
	} {
		if err := w.do(strings.Fields(c)...); err != nil {
			t.Fatal(err)
		}
	}
	list := w.ask(nil, "grant", "list", "--user", "ben")
	grant, _, _ := strings.Cut(string(list.out), "\t")
	if err := w.do("grant", "remove", grant); err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)### (\\d+)\\. ([^\n]*)\n(.*?)```cedar\n(.*?)```\n\n```expect\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(examples) != 10 {
		t.Fatalf("%d examples", len(examples))
	}
	for _, x := range examples {
		t.Run(x[1], func(t *testing.T) {
			cedar, expect := w.path("example.cedar"), w.path("expect.txt")
			for name, body := range map[string]string{cedar: x[4], expect: x[5]} {
				if err := os.WriteFile(name, []byte(body), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if a := w.ask(nil, "policy", "test", expect); a.code == 0 {
				t.Errorf("what %q says is so without it", x[2])
			}
			if a := w.ask(nil, "policy", "test", expect, "--with", cedar); a.code != 0 {
				t.Errorf("before it is stored: exit %d\n%s%s", a.code, a.out, a.err)
			}
			if err := w.do("policy", "put", "example", cedar); err != nil {
				t.Fatal(err)
			}
			if a := w.ask(nil, "policy", "test", expect); a.code != 0 {
				t.Errorf("stored: exit %d\n%s%s", a.code, a.out, a.err)
			}
			if err := w.do("policy", "delete", "example"); err != nil {
				t.Fatal(err)
			}
		})
	}
}
