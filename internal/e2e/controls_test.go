package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// limited is a world of a test's own whose admin has a role with controls.
func limited(t *testing.T, flags ...string) *world {
	t.Helper()
	w := testWorld(t, "web-1")
	for _, args := range [][]string{
		append([]string{"role", "create", "hurried", "--allow", "session:start"}, flags...),
		{"grant", "add", "--role", "hurried", "--user", adminEmail},
	} {
		if err := w.do(args...); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// TestWarnedAtATerminal: who sits at a prompt reads a line before the session ends for want of input, and a key postpones it.
func TestWarnedAtATerminal(t *testing.T) {
	t.Parallel()
	w := limited(t, "--idle-timeout", "6s")
	s := w.sit(t, "start", "web-1", "--", "bash", "--norc")
	s.see("bash-")
	id := w.live(t, s)
	s.see("sessctl: this session ends in")
	s.see("unless you press a key: it is idle (6s, the role hurried)")
	s.typ("echo sta''yed\r")
	s.see("stayed")
	typed := time.Now()
	s.exits(128 + int(syscall.SIGHUP))
	if d := time.Since(typed); d < 5*time.Second || d > 15*time.Second {
		t.Errorf("it ended %s after a key", d)
	}
	s.see("the session was idle for too long: nothing was typed for 6s, the limit of the role hurried")
	w.ended(t, id, sess.EndIdle)
}

// TestWarnedInAFullScreenProgram: the program keeps its screen; the title says it, and the line comes after.
func TestWarnedInAFullScreenProgram(t *testing.T) {
	t.Parallel()
	w := limited(t, "--idle-timeout", "8s")
	s := w.sit(t, "start", "web-1", "--", "sh", "-c", `printf '\033[?1049h\033[HFULL'; read x; printf '\033[?1049l'; read y`)
	s.see("FULL")
	s.until("the title warns", func() bool {
		return strings.Contains(string(s.bytes()), "\x1b]2;sessctl: this session ends in")
	})
	if text := s.text(); strings.Contains(text, "ends in") {
		t.Errorf("the line disturbs the program:\n%s", text)
	}
	s.typ("\r")
	s.see("sessctl: this session ends in")
	s.typ("\r")
	s.exits(0)
}

// TestOutputIsNoInput: what a program prints on a terminal says nothing about who sits there.
func TestOutputIsNoInput(t *testing.T) {
	t.Parallel()
	w := limited(t, "--idle-timeout", "3s")
	s := w.sit(t, "start", "web-1", "--", "sh", "-c", "while :; do echo busy; sleep 0.2; done")
	s.see("busy")
	began := time.Now()
	s.exits(128 + int(syscall.SIGHUP))
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("it took %s", d)
	}
	s.see("nothing was typed for 3s")
}

// TestToldThoughItEndsAsIfItWantedTo: some shells (fish, zsh) take the hang-up for a wish to leave, and their status says nothing of it.
func TestToldThoughItEndsAsIfItWantedTo(t *testing.T) {
	t.Parallel()
	w := limited(t, "--idle-timeout", "3s")
	s := w.sit(t, "start", "web-1", "--", "sh", "-c", "trap 'exit 0' HUP; echo up; while :; do sleep 0.05; done")
	s.see("up")
	id := w.live(t, s)
	s.exits(255) // 0 would be a lie
	s.see("the session was idle for too long: nothing was typed for 3s, the limit of the role hurried")
	w.ended(t, id, sess.EndIdle)
	s = w.sit(t, "start", "web-1", "--", "sh", "-c", "trap 'exit 1' HUP; echo up; while :; do sleep 0.05; done")
	s.see("up")
	if err := w.do("session", "end", w.live(t, s), "--reason", "deploy"); err != nil {
		t.Fatal(err)
	}
	s.exits(1)
	s.see("the session was ended by " + adminEmail + ": deploy")
}

// TestNoSlotLeaks: with room for one session and one connection, whatever is killed at whatever moment leaves room.
func TestNoSlotLeaks(t *testing.T) {
	t.Parallel()
	rnd := seeded(t)
	w := testWorld(t, "web-1")
	if err := w.do("org", "set", "max-sessions", "1", "max-connections", "1"); err != nil {
		t.Fatal(err)
	}
	const rounds = 9
	for n := range rounds {
		victim := []string{"client", "agent", "server"}[n%3]
		client := w.ctl(t.Context(), "exec", "web-1", "--", "sleep", "1000")
		if err := client.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(rnd.Int64N(int64(300 * time.Millisecond)))
		<-time.After(after)
		var err error
		switch victim {
		case "agent":
			if err = w.stopAgent("web-1", syscall.SIGKILL); err == nil {
				err = w.startAgent("web-1")
			}
		case "server":
			if err = w.stopServer(syscall.SIGKILL); err == nil {
				err = w.startServer()
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = client.Process.Kill()
		_ = client.Wait()
		if err := poll(fmt.Sprintf("room after the %s was killed at %s", victim, after), w.hasRoom); err != nil {
			t.Fatal(err)
		}
	}
}

// hasRoom ends what lives, and tries whether a session can be started and joined.
func (w *world) hasRoom() error {
	live, err := get[[]api.Session](w, "session", "list")
	if err != nil {
		return err
	}
	for _, s := range live {
		if err := w.do("session", "end", string(s.ID)); err != nil {
			return err
		}
	}
	return w.do("exec", "web-1", "--", "true")
}
