package audit_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/audit"
)

// TestHalfALineSpoilsNoFileOfCheckpoints: a full disk or a kill leaves half a line; what is appended behind it must not become
// one with it, and what is none of our files is left alone.
func TestHalfALineSpoilsNoFileOfCheckpoints(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seen")
	for i := range int64(4) {
		if err := audit.AppendWitnessed(path, audit.Witnessed{Time: time.Unix(i, 0), Log: "org", Size: i, Checkpoint: "c", Key: "k"}); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		half := []string{`{`, `{"time":"20`, `{"time":"2026-11-21T09:30:00Z","log":"org","size":7,"checkp`, ""}[i]
		if err := os.WriteFile(path, append(b, half...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || strings.Count(string(b), "\n") != 4 {
		t.Fatalf("%v\n%s", err, b)
	}
	last, err := audit.ReadWitnessed(strings.NewReader(string(b)))
	if err != nil || last["org"].Size != 3 {
		t.Errorf("%+v, %v", last, err)
	}
	for _, other := range []string{"a letter without an end", "one line\nand half", strings.Repeat("x", 1<<20), `{"time":` + strings.Repeat("x", 1<<20)} {
		if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := audit.AppendWitnessed(path, audit.Witnessed{Log: "org"}); err == nil {
			t.Errorf("appended to %.20q", other)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != other {
			t.Errorf("%.20q became %.20q, %v", other, b, err)
		}
	}
}
