package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/api"
)

// other is somebody else than the admin: a machine user, who is known by an API key and nothing else.
type other struct {
	w    *world
	name string
	key  string
}

// somebody makes a user with a role on the project of the instances.
func (w *world) somebody(t *testing.T, role string) *other {
	t.Helper()
	o := &other{w: w, name: fmt.Sprintf("%s-%d", role, reasons.Add(1))}
	out, err := get[api.Key](w, "key", "create", "--machine", o.name, "--role", role)
	if err != nil {
		t.Fatal(err)
	}
	o.key = out.Secret
	return o
}

func (o *other) env() []string {
	return o.w.env("SESSCTL_API_KEY="+o.key, "SESSCTL_SERVER="+o.w.url(), "SESSCTL_CONFIG_DIR="+filepath.Join(o.w.dir, o.name))
}

// sit runs sessctl at a terminal of 100 columns and 30 rows.
func (o *other) sit(t *testing.T, args ...string) *seat {
	t.Helper()
	return sitAt(t, o.env(), 100, 30, filepath.Join(binaries, "sessctl"), args...)
}

// do runs sessctl without a terminal.
func (o *other) do(args ...string) answer {
	cmd := exec.Command(filepath.Join(binaries, "sessctl"), args...)
	cmd.Env = o.env()
	return result(cmd, nil)
}

// TestObserve: somebody who is let in sees the exact screen at once, follows, and can't type; the owner is told.
func TestObserve(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.shell(t)
	id := w.live(t, s)
	s.typ("clear; printf '\\e[1;31mred\\e[0m and \\e[7mreverse\\e[0m\\n'\r")
	s.see("red and reverse")

	ann := w.somebody(t, "operator")
	if a := ann.do("join", id, "--observe"); a.code != 6 { // it is not theirs to see
		t.Errorf("an operator with whom nothing is shared: %+v", a)
	}
	if err := w.do("session", "share", id, "--with", ann.name, "--role", "observer"); err != nil {
		t.Fatal(err)
	}
	o := ann.sit(t, "join", id, "--observe")
	o.see("red and reverse")
	s.see(ann.name + " is watching")
	s.typ("clear; printf '\\e[32mgreen\\e[0m\\n'\r")
	o.see("green")
	same(t, o, s)

	o.typ("echo not to be seen\r")
	s.typ("clear; vim -u NONE -i NONE -n --cmd 'set nocompatible laststatus=2 number'\r")
	s.see("VIM - Vi IMproved")
	same(t, o, s)
	s.typ("ihello\x1b")
	s.see("hello")
	same(t, o, s)
	if strings.Contains(s.text(), "not to be seen") {
		t.Error("an observer typed")
	}
	o.typ("\r~.")
	o.exits(0)
	o.see("it goes on")

	// Another at a terminal that is too small, in the middle of vim.
	small := sitAt(t, ann.env(), 60, 10, filepath.Join(binaries, "sessctl"), "join", id, "--observe")
	small.see("the owner's terminal is 100×30, yours is 60×10")
	s.until("vim is out of insert mode", func() bool { return !strings.Contains(s.text(), "INSERT") })
	s.typ(":q!\r")
	s.until("vim is gone", func() bool { return strings.Contains(s.text(), "p>") && !strings.Contains(s.text(), "[No Name]") })
	s.typ("exit 3\r")
	s.exits(3)
	small.exits(0)

	x, err := get[api.Session](w, "session", "show", id)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := json.Marshal(x.Participants); len(x.Participants) != 3 || x.Participants[1].UserName != ann.name || x.Participants[1].LeftReason != "left" {
		t.Errorf("participants: %s", b)
	}
	w.logged(t, id, "session:observe refused", "session:share allowed", "session:observe allowed", "session:participant-joined allowed", "session:participant-left allowed")
}

// logged checks that there are events of a session, each an action and its outcome.
func (w *world) logged(t *testing.T, id string, want ...string) {
	t.Helper()
	seen := map[string]int{}
	a := w.ask(nil, "audit", "list", "--session", id, "--limit", "0", "--json")
	var events []struct {
		Event struct{ Action, Outcome string }
	}
	if err := json.Unmarshal(a.out, &events); err != nil {
		t.Fatalf("%v: %s%s", err, a.out, a.err)
	}
	for _, e := range events {
		seen[e.Event.Action+" "+e.Event.Outcome]++
	}
	for _, x := range want {
		if seen[x] == 0 {
			t.Errorf("no event %q; there are %v", x, seen)
		}
	}
}

func pid(s *seat) string { return fmt.Sprint(s.cmd.Process.Pid) }
