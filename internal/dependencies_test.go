package internal_test

import (
	"os"
	"regexp"
	"testing"

	"golang.org/x/mod/modfile"
)

// What go.mod names has its reason in docs/dependencies.md, and nothing else is there.
func TestDependenciesHaveReasons(t *testing.T) {
	text, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(document(t, "docs/dependencies.md"), -1) {
		reasons[row[1]] = true
	}
	for _, r := range mod.Require {
		if !reasons[r.Mod.Path] && !r.Indirect {
			t.Errorf("docs/dependencies.md does not say why %s is here", r.Mod.Path)
		}
		delete(reasons, r.Mod.Path)
	}
	for path := range reasons {
		t.Errorf("docs/dependencies.md names %s, which go.mod does not", path)
	}
}
