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
		return strings.HasPrefix(p.title, "⏸ 00:0") && (strings.Contains(p.title, "sleep 0.05") || strings.Contains(p.title, "not available: no_capability"))
	})
	p.typ("q")
	p.exits(0)
}
