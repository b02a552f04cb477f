package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// corner is the upper left part of the screen, as text.
func (s *seat) corner(cols, rows int) string {
	lines := strings.Split(s.text(), "\n")
	var out []string
	for _, l := range lines[:min(rows, len(lines))] {
		r := []rune(l)
		out = append(out, strings.TrimRight(string(r[:min(cols, len(r))]), " "))
	}
	return strings.TrimRight(strings.Join(out, "\n"), "\n")
}

// said waits until a line came that goes away by itself.
func (s *seat) said(text string) {
	s.t.Helper()
	s.until("it said "+text, func() bool { return strings.Contains(string(s.bytes()), text) })
}

// shows waits until a guest of another size shows what the owner's screen has in its upper left corner, and nothing else.
func (s *seat) shows(owner *seat, cols, rows int) {
	s.t.Helper()
	s.until("it shows that part of the owner's screen", func() bool { return s.text() == owner.corner(cols, rows) })
}

// TestGuestSizes: guests at terminals of all sizes see the owner's screen, or the part with the cursor, also while the owner's
// changes its size, in programs that take the whole screen and where long lines wrap.
func TestGuestSizes(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.shell(t)
	id := w.live(t, s)
	watch := func(cols, rows int) *seat {
		return sitAt(t, w.env(), cols, rows, filepath.Join(binaries, "sessctl"), "join", id, "--observe")
	}
	equal, large, small := watch(100, 30), watch(140, 50), watch(40, 12)
	for _, o := range []*seat{equal, large, small} {
		o.see("p>")
	}
	small.said("the owner's terminal is 100×30")

	// Long lines wrap at the owner's edge, and the screen scrolls at the owner's last row.
	s.typ("clear; printf 'x%.0s' $(seq 150); echo; seq 60; echo bot''tom\r")
	s.see("bottom")
	same(t, equal, s)
	large.shows(s, 140, 50)
	small.see("bottom")

	s.typ("clear; tmux -u -f /dev/null -S " + filepath.Join(t.TempDir(), "tmux") + " new-session 'vim -u NONE -i NONE -n --cmd \"set nocompatible number wrap\"'\r")
	s.see("VIM - Vi IMproved")
	s.typ("iline one of it\r" + strings.Repeat("long ", 30) + "\x1bgg")
	s.see("long long")
	same(t, equal, s)
	large.shows(s, 140, 50)
	small.shows(s, 40, 12)
	s.typ("G$")
	small.until("the cursor's part is shown", func() bool { return strings.Contains(small.text(), "long long") })

	s.resize(80, 20) // smaller than the guests' that was equal
	s.until("vim and tmux have the new size", func() bool { return strings.Count(s.text(), "\n") == 19 })
	equal.shows(s, 100, 30)
	large.shows(s, 140, 50)
	s.resize(120, 40)
	s.until("vim and tmux have the new size", func() bool { return strings.Count(s.text(), "\n") == 39 })
	large.shows(s, 140, 50)
	equal.said("the owner's terminal is 120×40, yours is 100×30")
	equal.resize(120, 40)
	same(t, equal, s)
	s.typ("\r~w")
	s.see("in this session:")
	s.typ("gg") // whatever is typed next has the program draw over it
	s.until("the list is gone", func() bool { return !strings.Contains(s.text(), "in this session") })
	same(t, equal, s)
	s.typ(":q!\r")
	s.until("they are gone", func() bool { return strings.Contains(s.text(), "[exited]") })
	s.typ("clear; exit\r")
	s.exits(0)
	for _, o := range []*seat{equal, large, small} {
		o.exits(0)
	}
}
