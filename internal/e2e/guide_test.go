package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// guide gives the commands of a guide, as one script in their order; so many blocks of them there have to be.
func guide(t *testing.T, name string, blocks int) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "guides", name+".md"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(text, -1)
	if len(found) != blocks {
		t.Fatalf("the guide has %d blocks of commands, not %d", len(found), blocks)
	}
	var script string
	for _, b := range found {
		script += string(b[1])
	}
	return script
}

// runGuide runs a script as the admin, in a directory that it may write to. It must succeed.
func (w *world) runGuide(t *testing.T, dir, script string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-x", "-c", "set -euo pipefail\n"+script)
	cmd.Dir = dir
	cmd.Env = append(w.env(), "PATH="+binaries+":"+os.Getenv("PATH"))
	cmd.WaitDelay = time.Second
	a := result(cmd, nil)
	if a.code != 0 {
		t.Fatalf("exit %d\n%s\n%s", a.code, a.out, a.err)
	}
	return a
}
