package e2e

import (
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/sess"
)

// A person steers a replay with keys, and the terminal is as before when it ends.
func TestReplayKeys(t *testing.T) {
	t.Parallel()
	w := commons(t)
	const script = `i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo line $i; sleep 0.05; done; sleep 600`
	owner := w.sit(t, "start", "web-1", "--", "sh", "-c", script)
	owner.see("line 60")
	id := w.live(t, owner)
	if err := w.do("session", "end", id); err != nil {
		t.Fatal(err)
	}
	w.ended(t, id, sess.EndEnded)

	s := w.sit(t, "recording", "play", id, "--speed", "0.1")
	s.see("line 2")
	s.typ(" ")      // stop
	s.typ("\x1b[C") // 10 s on: the end
	s.see("line 60")
	s.typ("\x1b[D") // 10 s back, from less: the beginning
	s.until("nothing of the end is left", func() bool { return !strings.Contains(s.text(), "line 60") })
	s.typ(" ")
	s.see("line 1")
	s.typ("q")
	s.exits(0)

	// From program to program, the first of which may be marked before the first line or behind it; where the kernel can't be
	// asked, to the word that says so.
	p := w.sit(t, "recording", "play", id, "--commands", "--speed", "0.1")
	p.see("line 1")
	p.typ(" n")
	p.until("the title names a program", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		_, title, _ := strings.Cut(string(p.raw), "\x1b]2;⏸ 00:0") // not by the emulator, which takes no title with a semicolon
		return strings.Contains(title, "sleep 0.05") || strings.Contains(title, "not available: no_capability")
	})
	p.typ("q")
	p.exits(0)
}

// What a session wrote to have its terminal answer, or to reach beyond its screen, does neither at who looks at its recording.
func TestReplayReachesNothingButTheScreen(t *testing.T) {
	t.Parallel()
	w := commons(t)
	const script = `printf '\033[1;5rone\r\n\033[6n\033[c\033]52;c;cm0=\007\033]11;?\007\033[?1000h\033[5i\005\033[3Jtwo\r\nthree\r\n'; sleep 600`
	owner := w.sit(t, "start", "web-1", "--", "sh", "-c", script)
	owner.see("three")
	id := w.live(t, owner)
	if err := w.do("session", "end", id); err != nil {
		t.Fatal(err)
	}
	w.ended(t, id, sess.EndEnded)
	s := w.sit(t, "recording", "play", id)
	s.exits(0)
	for _, want := range []string{"one", "two", "three"} {
		if !strings.Contains(s.text(), want) {
			t.Errorf("the screen lacks %q:\n%s", want, s.text())
		}
	}
	for _, hostile := range []string{"\x1b[6n", "\x1b[c", "\x1b]52", "\x1b]11", "\x1b[?1000h", "\x1b[5i", "\x05", "\x1b[3J"} {
		if !strings.Contains(string(owner.bytes()), hostile) {
			t.Errorf("the session did not write %q", hostile)
		}
		if strings.Contains(string(s.bytes()), hostile) {
			t.Errorf("the replay wrote %q", hostile)
		}
	}
	if all := string(s.bytes()); strings.LastIndex(all, "\x1b[r") < strings.LastIndex(all, "\x1b[1;5r") {
		t.Error("only a part of the viewer's screen scrolls now")
	}
	if a := w.ask(nil, "recording", "play", id, "--speed", "1000"); a.code != 0 || !strings.Contains(string(a.out), "\x1b[6n") {
		t.Errorf("in a pipe: exit %d, %q, want every byte", a.code, a.out)
	}
}
