package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPeerThroughFaults: a peer whose network is cut, and whose server is killed, comes back and types on; each byte arrives once, and
// is on record as theirs.
func TestPeerThroughFaults(t *testing.T) {
	t.Parallel()
	r := roughWorld(t)
	w := r.world
	s := sitAt(t, append(w.env("SESSCTL_API_KEY="+w.key, "SESSCTL_SERVER="+w.url()), r.client.env()...), 100, 30,
		filepath.Join(binaries, "sessctl"), "start", "--reason", t.Name(), "web-1", "--", "bash", "--norc", "--noprofile")
	s.typ("PS1='p'\"> \"; clear\r")
	s.until("there is our prompt", func() bool { return s.text() == "p>" })
	id := w.sessionFor(t, t.Name())
	ann := w.somebody(t, "operator")
	if err := w.do("session", "share", id, "--with", ann.name); err != nil {
		t.Fatal(err)
	}
	lan := newProxy(t, w.address)
	p := sitAt(t, append(ann.env(), lan.env()...), 100, 30, filepath.Join(binaries, "sessctl"), "join", id)
	p.see("p>")

	p.typ("echo be''fore\r")
	s.see("before")
	lan.refuse(true)
	lan.cut()
	p.typ("echo wh''ile away\r") // kept until there is a connection again
	p.see("connection lost")
	s.typ("clear; echo of the ow''ner\r")
	s.see("of the owner")
	lan.refuse(false)
	s.see("while away")
	same(t, p, s)

	if err := w.stopServer(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.typ("echo aft''er a kill\r")
	if err := w.startServer(); err != nil {
		t.Fatal(err)
	}
	s.see("after a kill")
	s.typ("clear\r") // of the owner's first row the word of the lost connection took the place
	s.until("the screen is cleared", func() bool { return s.text() == "p>" })
	same(t, p, s)
	r.agent.cut()
	p.typ("echo at la''st\r")
	s.see("at last")
	same(t, p, s)
	s.typ("\x15exit\r")
	s.exits(0)
	p.exits(0)

	if err := w.do("recording", "export", id, "--input", "-o", w.path("cast")); err != nil {
		t.Fatal(err)
	}
	cast, err := os.ReadFile(w.path("cast"))
	if err != nil {
		t.Fatal(err)
	}
	typed := map[string]string{} // by who
	who := "the owner types"
	for _, m := range regexp.MustCompile(`(?m)^\[[\d.]+,"([im])","(.*)"\]$`).FindAllStringSubmatch(string(cast), -1) {
		if m[1] == "m" {
			who = m[2]
			continue
		}
		typed[who] += m[2]
	}
	if want := `echo be''fore\recho wh''ile away\recho aft''er a kill\recho at la''st\r`; typed["participant 1 types"] != want {
		t.Errorf("of participant 1 is on record %q, want %q", typed["participant 1 types"], want)
	}
	if got := typed["the owner types"]; strings.Contains(got, "fore") || !strings.HasSuffix(got, `exit\r`) {
		t.Errorf("of the owner is on record %q", got)
	}
}

// TestGuestsOfKilledServer: guests of a server that is killed come back to the next, each as who they were, and see what the owner sees.
func TestGuestsOfKilledServer(t *testing.T) {
	t.Parallel()
	w := testWorld(t, "web-1")
	s := w.shell(t)
	id := w.live(t, s)
	var guests []*seat
	for range 3 {
		guests = append(guests, w.sit(t, "join", id, "--observe"))
	}
	for _, g := range guests {
		g.see("p>")
	}
	for _, word := range []string{"once", "twice"} {
		if err := w.stopServer(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := w.startServer(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		s.typ("clear; echo he''re " + word + "\r")
		for _, g := range append(guests, s) {
			g.see("here " + word)
		}
		t.Logf("all are back after %s", time.Since(began).Round(time.Millisecond))
	}
	for _, g := range guests {
		same(t, g, s)
	}
	for _, g := range guests {
		g.typ("\r~.")
		g.exits(0)
	}
	s.typ("exit\r")
	s.exits(0)
	began := time.Now()
	if err := poll("all have left on record", func() error {
		out := string(w.ask(nil, "session", "show", id).out)
		if strings.Count(out, "(left)") != 3 {
			return errors.New(out)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	t.Log(time.Since(began))
}
