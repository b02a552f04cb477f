package client

import (
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// What xterm and most others do with a title: put it on a stack, set it, take it off again. Those that don't know the stack
// leave ours until the next program sets one.
const (
	pushTitle = "\x1b[22;2t"
	popTitle  = "\x1b[23;2t"
)

// deferred is a line that waits for the screen.
type deferred struct {
	text string
	said time.Time
}

// stale is how long a line may have waited and still be shown as if it had just been said.
const stale = 5 * time.Second

// String gives the line, and how long ago it was true.
func (d deferred) String() string {
	if ago := time.Since(d.said); ago >= stale {
		return sess.FormatDuration(ago.Round(time.Second)) + " ago: " + d.text
	}
	return d.text
}

// warn tells what must not disturb a full-screen program: while one has the terminal, the bell rings and the title says it;
// the line is shown when the program has given the screen back. At a prompt it is a line like any.
func (t *terminal) warn(text string) {
	if t.over != nil {
		t.over.say(text)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	if isTerminal(t.o.Lines) {
		t.later = append(t.later, deferred{text, time.Now()})
	} else {
		t.lines = append(t.lines, text)
	}
	t.flush()
}

// flushLater shows the lines that wait for the screen to be free, or says in the title that there are some; the caller holds
// mu and knows that the session is not in the middle of a sequence.
func (t *terminal) flushLater() {
	if !t.screen.alternate() {
		t.untitle()
		t.sayLater()
		return
	}
	if t.titled == len(t.later) {
		return
	}
	if t.titled == 0 {
		fmt.Fprint(t.o.Lines, pushTitle)
	}
	t.titled = len(t.later)
	fmt.Fprintf(t.o.Lines, "\x1b]2;sessctl: %s\x07\x07", t.later[t.titled-1].text)
}

// sayLater puts the lines that waited before those that wait for a good moment only; the caller holds mu.
func (t *terminal) sayLater() {
	var all []string
	for _, l := range t.later {
		all = append(all, l.String())
	}
	t.lines, t.later = append(all, t.lines...), nil
}

// untitle gives the title back; the caller holds mu.
func (t *terminal) untitle() {
	if t.titled > 0 {
		fmt.Fprint(t.o.Lines, popTitle)
	}
	t.titled = 0
}
