package client

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/term"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
)

func isTerminal(f *os.File) bool { return f != nil && term.IsTerminal(int(f.Fd())) }

// TerminalSize gives the size of the terminal behind f in cells, 0, 0 when it is none.
func TerminalSize(f *os.File) (cols, rows uint16) {
	c, r, err := term.GetSize(int(f.Fd()))
	if err != nil || c < 0 || r < 0 || c > 1<<16-1 || r > 1<<16-1 {
		return 0, 0
	}
	return uint16(c), uint16(r)
}

// TerminalEnv gives the variables of this process's environment that a program needs to draw on our terminal.
func TerminalEnv(environ []string) map[string]string {
	env := map[string]string{}
	for _, kv := range environ {
		for i := range kv {
			if kv[i] != '=' {
				continue
			}
			if k := kv[:i]; k == "LANG" || k == "COLORTERM" || len(k) > 3 && k[:3] == "LC_" {
				env[k] = kv[i+1:]
			}
			break
		}
	}
	return env
}

// terminal is the user's terminal while a session has it. It is the ui of the session, too.
type terminal struct {
	o       TerminalIO
	console func() // undoes what openConsole did
	wake    *resizes
	redraw  func() // asks the session to draw again what a line of ours covered

	cover atomic.Bool // lines of ours lie over a full-screen program

	mu     sync.Mutex // protects the following
	state  *term.State
	screen screen
	held   string // a state that is shown, or waits for a good moment
	shown  bool
	below  bool          // it is in the row below the cursor's
	lines  []string      // lines that wait for a good moment
	later  []deferred    // lines that wait until a full-screen program has given the terminal back
	titled int           // so many of them were told by bell and title
	closed bool          // it is the user's again: no state is shown any more
	guest  sess.JoinRole // of one who is in a session beside its owner; empty: the owner
	over   *ownerScreen  // how a guest is told things; nil: it is no terminal, or the owner's
}

// openTerminal puts the terminal into raw mode.
func openTerminal(o TerminalIO, redraw func()) (*terminal, error) {
	t := &terminal{o: o, console: openConsole(o.Out), redraw: redraw}
	if isTerminal(o.In) {
		state, err := term.MakeRaw(int(o.In.Fd()))
		if err != nil {
			t.console()
			return nil, fmt.Errorf("put the terminal into raw mode: %w", err)
		}
		t.state = state
	}
	t.wake = watchResize(t)
	return t, nil
}

// alternate reports whether a full-screen program has the terminal.
func (t *terminal) alternate() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.screen.alternate()
}

func (t *terminal) raw() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state != nil
}

// again puts the terminal back into raw mode, after somebody stopped and continued the process.
func (t *terminal) again() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != nil {
		_, _ = term.MakeRaw(int(t.o.In.Fd()))
	}
}

func (t *terminal) resized() <-chan struct{} { return t.wake.c }

// close brings the terminal back to what it was before. It may be called more than once.
func (t *terminal) close() {
	t.wake.stop()
	if t.over != nil {
		t.over.close()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unhold()
	t.closed = true
	if undo := t.screen.restore(); len(undo) > 0 && isTerminal(t.o.Out) {
		_, _ = t.o.Out.Write(undo)
	}
	t.untitle()
	t.sayLater()
	for _, l := range t.lines {
		t.print(l)
	}
	t.lines = nil
	if t.state != nil {
		_ = term.Restore(int(t.o.In.Fd()), t.state)
		t.state = nil
	}
	t.console()
}

// guard runs f and restores the terminal should it panic.
func (t *terminal) guard(f func()) {
	defer func() {
		if r := recover(); r != nil {
			t.close()
			panic(r)
		}
	}()
	f()
}

// Write shows output of the session.
func (t *terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.below { // where the session may write next
		t.wipe()
	}
	n, err := t.o.Out.Write(p)
	t.screen.feed(p[:n])
	if (t.held != "" && !t.shown || len(t.lines) > 0 || len(t.later) > 0) && t.screen.ground() {
		t.flush()
	}
	return n, err
}

// hold shows a state until release. At a prompt it is in a row of its own below the cursor's, so that nothing of what the
// terminal shows is lost by it; over a full-screen program in the first row, which the program draws again afterwards; and
// where there is no terminal it is a line.
func (t *terminal) hold(text string) {
	t.mu.Lock()
	if t.o.Escape != NoEscape && t.state != nil {
		what := "end"
		if t.guest != "" {
			what = "leave"
		}
		text += " (" + escapeName(t.o.Escape) + ". to " + what + ")"
	}
	if t.over != nil {
		t.mu.Unlock() // it comes before ours
		t.over.hold(text)
		return
	}
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.unhold()
	t.held = text
	t.flush()
}

func (t *terminal) release() {
	if t.over != nil {
		t.over.hold("")
		return
	}
	t.mu.Lock()
	covered := t.shown && !t.below && isTerminal(t.o.Lines)
	t.unhold()
	t.mu.Unlock()
	if covered {
		t.redraw()
	}
}

func (t *terminal) say(text string) {
	if t.over != nil {
		t.over.say(text)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, text)
	t.flush()
}

// flush shows what waits, if the session is not in the middle of an escape sequence or a character; the caller holds mu.
func (t *terminal) flush() {
	if !t.screen.ground() {
		return
	}
	if len(t.later) > 0 {
		t.flushLater()
	}
	for _, l := range t.lines {
		t.print(l)
	}
	t.lines = nil
	if t.held == "" || t.shown {
		return
	}
	t.shown = true
	if !isTerminal(t.o.Lines) {
		fmt.Fprintf(t.o.Lines, "sessctl: %s\n", t.held)
		return
	}
	text := " sessctl: " + t.held + " "
	if cols, _ := TerminalSize(t.o.Lines); cols > 1 { // in one row
		text = string([]rune(text)[:min(len([]rune(text)), int(cols)-1)])
	}
	if t.screen.alternate() {
		fmt.Fprintf(t.o.Lines, "\x1b7\x1b[1;1H\x1b[7m\x1b[K%s\x1b[m\x1b8", text)
		return
	}
	t.below = true
	fmt.Fprintf(t.o.Lines, "\x1bD\x1b[A\x1b7\x1b[B\r\x1b[7m%s\x1b[m\x1b[K\x1b8", text) // an index makes the row where there is none
}

// unhold takes a state away; the caller holds mu.
func (t *terminal) unhold() {
	t.wipe()
	t.held = ""
}

// wipe takes a state off the terminal; the caller holds mu.
func (t *terminal) wipe() {
	if t.shown && isTerminal(t.o.Lines) {
		at := "\x1b[1;1H"
		if t.below {
			at = "\x1b[B\r"
		}
		fmt.Fprint(t.o.Lines, "\x1b7"+at+"\x1b[m\x1b[K\x1b8")
	}
	t.shown, t.below = false, false
}

// print shows a line that stays; the caller holds mu.
func (t *terminal) print(text string) {
	if t.below {
		t.wipe()
	}
	switch {
	case !isTerminal(t.o.Lines):
		fmt.Fprintf(t.o.Lines, "sessctl: %s\n", text)
	case t.screen.alternate():
		t.cover.Store(true)
		out := "\x1b7"
		for i, l := range strings.Split(text, "\n") {
			out += fmt.Sprintf("\x1b[%d;1H\x1b[7m\x1b[K sessctl: %s \x1b[m", i+1, l)
		}
		fmt.Fprint(t.o.Lines, out+"\x1b8")
	default:
		cols, _ := TerminalSize(t.o.Lines)
		fmt.Fprintf(t.o.Lines, "\r\n\x1b[K%s\r\n", strings.ReplaceAll(wrap("sessctl: "+text, int(cols)), "\n", "\r\n\x1b[K"))
	}
}

// uncover has a program draw again over which lines of ours lie: somebody typed, so they were read.
func (t *terminal) uncover() {
	if t.cover.Load() && t.cover.CompareAndSwap(true, false) && t.alternate() {
		t.redraw()
	}
}

// help lists the escapes.
func (t *terminal) help(c byte) {
	e := escapeName(c)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.below {
		t.wipe()
	}
	defer t.flush()
	fmt.Fprintf(t.o.Lines, "%s?\r\nEscapes, behind Enter:\r\n"+
		"  %s.  end the session\r\n  %sd  detach: leave it running\r\n  %sw  who is in the session\r\n  %sk  put somebody out\r\n"+
		"  %sy  let in who asks\r\n  %sn  don't\r\n  %s?  this help\r\n  %s%s  send %s\r\n", e, e, e, e, e, e, e, e, e, e, e)
}

// guestHelp lists the escapes of somebody who is in a session beside its owner.
func (t *terminal) guestHelp(c byte) {
	e := escapeName(c)
	text := "Escapes, behind Enter: " + e + ". leave, " + e + "w who is here, " + e + "? this help"
	if t.guest == sess.JoinModerator {
		text += ", " + e + "x end the session"
	}
	t.say(text)
}

// Screen is a terminal that something is shown on, such as a recording. It follows what that does to the terminal, and lets only
// that through which draws.
type Screen struct {
	io.Writer
	drawn drawn
}

// NewScreen makes a Screen of out. If that is no terminal it gets every byte.
func NewScreen(out *os.File) *Screen {
	s := &Screen{drawn: drawn{out: out}}
	s.Writer = &s.drawn
	if isTerminal(out) {
		s.Writer = recording.NewInert(&s.drawn)
	}
	return s
}

// drawn is an output and what was done to it.
type drawn struct {
	out    *os.File
	screen screen
}

// Write implements io.Writer.
func (d *drawn) Write(p []byte) (int, error) {
	n, err := d.out.Write(p)
	d.screen.feed(p[:n])
	return n, err
}

// Restore undoes what would make the terminal awkward to use.
func (s *Screen) Restore() {
	if undo := s.drawn.screen.restore(); len(undo) > 0 && isTerminal(s.drawn.out) {
		_, _ = s.drawn.out.Write(undo)
	}
}
