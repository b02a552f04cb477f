package vt

import (
	"slices"
	"strconv"
)

// keyModes are the private modes that change what a terminal sends for keys, pastes and the mouse.
var keyModes = []mode{cursorKey, -9, -66, -1000, -1002, -1003, -1004, -1005, -1006, -1015, -1016, -2004}

// Part gives bytes that draw a part of row y at the beginning of a row of another terminal: cols cells from column x on. What lies
// beyond the screen is blank. The other terminal is not to wrap lines; nothing else in it depends on its size.
func (t *Terminal) Part(x, y, cols int) string {
	d := dumper{t: t}
	d.s("\x1b[0m")
	if y < 0 || y >= t.rows {
		d.s("\x1b[K")
		return string(d.b)
	}
	l := t.lines[y]
	end := min(len(l), x+cols)
	for at := max(0, x); at < end; at++ {
		c := l[at]
		cut := c.r == 0 && at == x || at+1 == end && at+1 < len(l) && l[at+1].r == 0 // half of a wide character
		if cut {
			c = cell{r: ' ', style: c.style}
		}
		d.cell(&c)
	}
	d.style(style{})
	if end-x < cols {
		d.s("\x1b[K")
	}
	return string(d.b)
}

// Cursor gives where the cursor is, counted from 0, and bytes that have it look as it does.
func (t *Terminal) Cursor() (x, y int, look string) {
	look = "\x1b[" + strconv.Itoa(t.shape) + " q"
	if t.on(visible) {
		return t.cur.x, t.cur.y, look + "\x1b[?25h"
	}
	return t.cur.x, t.cur.y, look + "\x1b[?25l"
}

// Keys gives bytes that have a terminal send for keys, pastes and the mouse what it would send here.
func (t *Terminal) Keys() string {
	d := dumper{t: t}
	for _, on := range []bool{false, true} { // what excludes each other is first taken away
		for _, m := range keyModes {
			if t.on(m) != on {
				continue
			}
			final := "l"
			if on {
				final = "h"
			}
			d.s("\x1b[?" + strconv.Itoa(int(-m)) + final)
		}
	}
	if t.keypad {
		d.s("\x1b=")
	} else {
		d.s("\x1b>")
	}
	return string(slices.Concat(d.b, []byte(t.keys)))
}
