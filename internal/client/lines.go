package client

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

// wrap breaks what is longer than width between words; 0 is a terminal that does not say how wide it is.
func wrap(text string, width int) string {
	if width <= 0 {
		return text
	}
	var out strings.Builder
	column := 0
	for i, word := range strings.SplitAfter(text, " ") { // which keeps what is aligned by blanks
		n := utf8.RuneCountInString(strings.TrimRight(word, " "))
		if i > 0 && column+n > width {
			out.WriteByte('\n')
			column = 0
		}
		out.WriteString(word)
		column += utf8.RuneCountInString(word)
		if nl := strings.LastIndexByte(word, '\n'); nl >= 0 {
			column = utf8.RuneCountInString(word[nl+1:])
		}
	}
	return out.String()
}

// lineUI speaks in plain lines: for commands without a terminal of their own. A state is erased when it is over, where a
// person reads; in a log it stays, and its end is told.
type lineUI struct {
	w        io.Writer
	terminal bool

	mu   sync.Mutex // protects the following
	held bool
}

func (u *lineUI) hold(text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.erase()
	u.held = true
	if u.terminal {
		fmt.Fprintf(u.w, "sessctl: %s", text)
		return
	}
	fmt.Fprintf(u.w, "sessctl: %s\n", text)
}

func (u *lineUI) release() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.held && !u.terminal {
		fmt.Fprintln(u.w, "sessctl: connected again")
	}
	u.erase()
	u.held = false
}

func (u *lineUI) say(text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.erase()
	u.held = false
	fmt.Fprintf(u.w, "sessctl: %s\n", text)
}

func (u *lineUI) warn(text string) { u.say(text) }

// close takes a state away that did not come to a good end.
func (u *lineUI) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.erase()
	u.held = false
}

// hint says something that only helps a person.
func (u *lineUI) hint(text string) {
	if u.terminal {
		u.say(text)
	}
}

// erase takes a held line off the terminal; the caller holds mu.
func (u *lineUI) erase() {
	if u.held && u.terminal {
		fmt.Fprint(u.w, "\r\x1b[K")
	}
}
