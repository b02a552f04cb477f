package audit_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The verifier in the documentation works, and finds what ours finds.
func TestDocumentedVerifier(t *testing.T) {
	for _, tool := range []string{"python3", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "security", "audit-log-format.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```python\n")
	script, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no program in the documentation")
	}
	dir := t.TempDir()
	s := newSigner(t, 1)
	file := export(t, s, bodies(t, 11), 4, bodies(t, 12)[11])
	run := func(file []byte, key string) (string, bool) {
		t.Helper()
		for name, data := range map[string][]byte{"verify.py": []byte(script), "export.jsonl": file} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), "python3", "verify.py", "export.jsonl", key)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err == nil
	}
	if out, ok := run(file, s.VerifierKey()); !ok || !strings.Contains(out, "11 events of sess.example/org_a") {
		t.Fatalf("a good log: %s", out)
	}
	for name, bad := range map[string][]byte{
		"changed": bytes.Replace(file, []byte("evt_0007"), []byte("evt_0008"), 1),
		"cut off": file[:bytes.LastIndex(file, []byte(`{"checkpoint"`))],
		"removed": append(bytes.Clone(file[:bytes.Index(file, []byte(`{"idx":2,`))]), file[bytes.Index(file, []byte(`{"idx":3,`)):]...),
	} {
		if out, ok := run(bad, s.VerifierKey()); ok {
			t.Errorf("%s: %s", name, out)
		}
	}
	if out, ok := run(file, newSigner(t, 2).VerifierKey()); ok {
		t.Errorf("another key: %s", out)
	}
}
