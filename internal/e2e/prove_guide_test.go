package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// TestProveGuide runs the commands of docs/guides/prove-the-log.md, one after the other, as they stand there.
func TestProveGuide(t *testing.T) {
	t.Parallel()
	w := testWorld(t, "web-1")
	if err := w.do("exec", "web-1", "--reason", "ticket 4711", "--", "true"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "guides", "prove-the-log.md"))
	if err != nil {
		t.Fatal(err)
	}
	script := []byte("set -euo pipefail\n")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) < 7 {
		t.Fatalf("only %d blocks in the guide", len(blocks))
	}
	for _, b := range blocks {
		script = append(script, b[1]...)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-x", "-c", string(script))
	cmd.Dir = t.TempDir()
	cmd.Env = append(w.env(), "PATH="+binaries+":"+os.Getenv("PATH"))
	a := result(cmd, nil)
	if a.code != 0 {
		t.Fatalf("exit %d\n%s\n%s", a.code, a.out, a.err)
	}
	for _, want := range []string{"it only grew", "the event is in the log", "the log only grew", "whole and unaltered", "ticket 4711"} {
		if !bytes.Contains(a.out, []byte(want)) {
			t.Errorf("nothing says %q:\n%s\n%s", want, a.out, a.err)
		}
	}
}
