package client

import "fmt"

// What xterm and most others do with a title: put it on a stack, set it, take it off again. Those that don't know the stack
// leave ours until the next program sets one.
const (
	pushTitle = "\x1b[22;2t"
	popTitle  = "\x1b[23;2t"
)

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
		t.later = append(t.later, text)
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
		t.lines = append(t.lines, t.later...)
		t.later = nil
		return
	}
	if t.titled == len(t.later) {
		return
	}
	if t.titled == 0 {
		fmt.Fprint(t.o.Lines, pushTitle)
	}
	t.titled = len(t.later)
	fmt.Fprintf(t.o.Lines, "\x1b]2;sessctl: %s\x07\x07", t.later[t.titled-1])
}

// untitle gives the title back; the caller holds mu.
func (t *terminal) untitle() {
	if t.titled > 0 {
		fmt.Fprint(t.o.Lines, popTitle)
	}
	t.titled = 0
}
