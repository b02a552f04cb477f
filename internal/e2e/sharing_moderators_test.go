package e2e

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// moderated starts a shell as somebody with a role that needs moderators.
func (w *world) moderated(t *testing.T, role string, controls ...string) (s *seat, id string) {
	t.Helper()
	if err := w.do(append([]string{"role", "create", role, "--allow", "session:start"}, controls...)...); err != nil {
		t.Fatal(err)
	}
	ann := w.somebody(t, role)
	s = sitAt(t, ann.env(), 100, 30, filepath.Join(binaries, "sessctl"), "start", "--reason", t.Name(), "web-1", "--", "bash", "--norc", "--noprofile")
	s.see("waiting for ")
	return s, w.sessionFor(t, t.Name())
}

// TestTwoModerators: a session that needs two runs while there are two.
func TestTwoModerators(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s, id := w.moderated(t, "watched-by-two", "--moderators", "2")
	s.see("waiting for 2 moderators")
	s.typ("PS1='p'\"> \"; clear; echo fir''st\r")
	one := w.sit(t, "join", id, "--moderate")
	s.see("waiting for a moderator ")
	bob := w.somebody(t, "operator")
	if a := bob.do("join", id, "--moderate"); a.code != 6 {
		t.Errorf("an operator, unasked: %+v", a)
	}
	carol := w.somebody(t, "project-admin")
	two := carol.sit(t, "join", id, "--moderate")
	s.see("first")
	one.see("first")
	two.typ("\r~.")
	two.exits(0)
	s.see("waiting for a moderator ")
	s.typ("clear; echo sec''ond\r")
	three := carol.sit(t, "join", id, "--moderate")
	three.see("second")
	s.see("second")
	s.typ("exit\r")
	s.exits(0)
	one.exits(0)
	three.exits(0)
}

// TestModeratorGoes: by its role a session ends when its moderator leaves, or when nobody came for a while, also when the server was
// killed meanwhile.
func TestModeratorGoes(t *testing.T) {
	t.Parallel()
	t.Run("ends", func(t *testing.T) {
		t.Parallel()
		w := commons(t)
		s, id := w.moderated(t, "never-alone", "--moderators", "1", "--end-unmoderated")
		m := w.sit(t, "join", id, "--moderate")
		s.see("the session goes on")
		m.typ("\r~.")
		m.exits(0)
		s.out("left, who moderated it")
		w.ended(t, id, "unmoderated")
	})
	t.Run("waits", func(t *testing.T) {
		t.Parallel()
		w := commons(t)
		began := time.Now()
		s, id := w.moderated(t, "not-for-long", "--moderators", "1", "--moderator-wait", "2s")
		s.out("nobody came for 2s")
		if d := time.Since(began); d < 2*time.Second {
			t.Errorf("it waited %s", d)
		}
		w.ended(t, id, "unmoderated")
	})
	t.Run("waits through a kill", func(t *testing.T) {
		t.Parallel()
		w := testWorld(t, "web-1")
		s, id := w.moderated(t, "watched", "--moderators", "1", "--moderator-wait", "6s")
		m := w.sit(t, "join", id, "--moderate")
		s.see("the session goes on")
		if err := w.stopServer(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := w.startServer(); err != nil {
			t.Fatal(err)
		}
		s.typ("PS1='p'\"> \"; clear; echo bo''th back\r")
		s.see("both back")
		m.see("both back")
		m.typ("\r~.")
		m.exits(0)
		s.see("waiting for a moderator")
		began := time.Now()
		if err := w.stopServer(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := w.startServer(); err != nil {
			t.Fatal(err)
		}
		s.out("nobody came for 6s")
		w.ended(t, id, "unmoderated")
		if d := time.Since(began); d > 11*time.Second {
			t.Errorf("it stood still for %s: the time began anew", d)
		}
	})
}
