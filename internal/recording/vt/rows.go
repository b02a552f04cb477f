package vt

import "strings"

// Handler gives what a parser of one's own tells what it finds, in place of Write.
func (t *Terminal) Handler() Handler { return (*handler)(t) }

// Row gives the text of a row of the screen that is shown, counted from 0, without the spaces behind it.
func (t *Terminal) Row(y int) string {
	if y < 0 || y >= len(t.lines) {
		return ""
	}
	var b strings.Builder
	for i := range t.lines[y] {
		if c := &t.lines[y][i]; c.r != 0 { // not the right half of a wide character
			b.WriteRune(c.r)
			b.WriteString(c.extra)
		}
	}
	return strings.TrimRight(b.String(), " ")
}
