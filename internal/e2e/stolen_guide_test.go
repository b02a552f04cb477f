package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestStolenLaptopGuide runs the commands of docs/guides/stolen-laptop.md, in their order, while the user of the guide has a session
// open: it is over after the first, and what the laptop had is worth nothing after all of them.
func TestStolenLaptopGuide(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "guides", "stolen-laptop.md"))
	if err != nil {
		t.Fatal(err)
	}
	w := testWorld(t, "web-1")
	if err := w.do("user", "create", "--machine", "ann", "--role", "operator"); err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(w.ask(nil, "key", "create", "laptop", "--user", "ann").out))
	laptop := func(args ...string) answer {
		cmd := w.ctl(t.Context(), args...)
		cmd.Env = append(cmd.Env, "SESSCTL_SERVER="+w.url(), "SESSCTL_API_KEY="+key)
		return result(cmd, nil)
	}
	over := make(chan answer, 1)
	go func() { over <- laptop("exec", "web-1", "--", "sleep", "300") }()
	if err := poll("the session", func() error {
		if out := string(w.ask(nil, "session", "list", "--user", "ann").out); !strings.Contains(out, "\tactive\t") {
			return os.ErrNotExist
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 7 {
		t.Fatalf("%d blocks of commands", len(blocks))
	}
	for i, b := range blocks {
		script := strings.ReplaceAll(b[1], "ann@example.com", "ann")
		cmd := exec.CommandContext(t.Context(), "bash", "-e", "-c", script)
		cmd.Env = append(w.env(), "PATH="+binaries+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s\n%s", err, script, out)
		}
		if i > 0 {
			continue
		}
		if a := <-over; !strings.Contains(string(a.err), "the session was ended by a lock: the user ann is locked: laptop stolen, INC-7") {
			t.Errorf("the session's client: exit %d\n%s", a.code, a.err)
		}
		if a := laptop("whoami"); !strings.Contains(string(a.err), "you are locked out: laptop stolen, INC-7") {
			t.Errorf("who is locked: exit %d\n%s", a.code, a.err)
		}
	}
	if a := laptop("whoami"); a.code != 4 {
		t.Errorf("the laptop's key, revoked: exit %d\n%s", a.code, a.err)
	}
}
