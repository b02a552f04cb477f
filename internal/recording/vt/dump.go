package vt

import (
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Screen gives bytes that bring a terminal of the same size, whatever it shows, to this terminal's state: both screens,
// cursor, colours, scroll region, tab stops, modes, titles, and the beginning of a sequence that is
// not complete yet. On a terminal of another size as much as fits is shown.
func (t *Terminal) Screen() []byte {
	d := dumper{t: t}
	d.s("\x1b[?1049l\x1b[!p\x1b[?5l\x1b[0m\x1b(B\x1b)B\x0f\x1b[r\x1b[?6l\x1b[4l\x1b[20l\x1b[3g")
	for x, on := range t.tabs {
		if on {
			d.place(x, 0)
			d.s("\x1bH")
		}
	}
	d.s("\x1b[H\x1b[2J\x1b[?7l")
	if t.alt {
		d.lines(t.other)
		d.saved(0, t.other)
		if t.altMode != 1049 && t.saved[0] == nil {
			d.s("\x1b[0m\x1b[H")
		}
		d.s("\x1b[?" + strconv.Itoa(t.altMode) + "h\x1b[0m\x1b[?6l\x1b[?7l\x1b(B\x1b)B\x1b*B\x1b+B\x0f\x1b[H\x1b[2J")
		d.lines(t.lines)
		if t.saved[1] != nil {
			d.saved(1, t.lines)
		}
	} else {
		d.lines(t.lines)
		if t.saved[0] != nil {
			d.saved(0, t.lines)
		}
	}
	d.state()
	d.cursor()
	return append(d.b, t.parser.begun...)
}

type dumper struct {
	t  *Terminal
	b  []byte
	st style
}

func (d *dumper) s(s string) { d.b = append(d.b, s...) }

// place moves the cursor, counted from 0.
func (d *dumper) place(x, y int) {
	d.s("\x1b[")
	d.b = strconv.AppendInt(d.b, int64(y)+1, 10)
	d.s(";")
	d.b = strconv.AppendInt(d.b, int64(x)+1, 10)
	d.s("H")
}

func (d *dumper) style(st style) {
	if st != d.st {
		d.st = st
		d.b = st.append(d.b)
	}
}

// lines draws a screen that is blank so far.
func (d *dumper) lines(ls [][]cell) {
	d.st = style{}
	d.s("\x1b[0m")
	blank := cell{r: ' '}
	for y, l := range ls {
		end := len(l)
		for end > 0 && l[end-1] == blank {
			end--
		}
		if end == 0 {
			continue
		}
		d.place(0, y)
		for x := range end {
			d.cell(&l[x])
		}
	}
	d.style(style{})
}

func (d *dumper) cell(c *cell) {
	if c.r == 0 {
		return
	}
	d.style(c.style)
	d.b = utf8.AppendRune(d.b, c.r)
	d.s(c.extra)
}

// saved puts the saved cursor of a screen back; ls is that screen.
func (d *dumper) saved(screen int, ls [][]cell) {
	c := d.t.saved[screen]
	if c == nil {
		return
	}
	if c.origin { // the region is the whole screen at this point
		d.s("\x1b[?6h")
	}
	if c.wrap {
		d.s("\x1b[?7h")
		d.wrapped(ls[c.y], c.x, c.y)
	} else {
		d.place(c.x, c.y)
	}
	d.sets(c)
	d.st = c.style
	d.b = c.style.append(d.b)
	d.s("\x1b7\x1b[?6l\x1b[?7l\x1b(B\x1b)B\x1b*B\x1b+B\x0f")
	if screen == 0 && d.t.alt && d.t.altMode == 1049 {
		// The switch saves the cursor by itself: let it find the right one.
		if c.wrap {
			d.s("\x1b[?7h")
		}
		d.s("\x1b8")
	}
}

func (d *dumper) sets(c *cursor) {
	for i, set := range c.sets {
		d.b = append(d.b, '\x1b', "()*+"[i], set)
	}
	d.s([...]string{"\x0f", "\x0e", "\x1bn", "\x1bo"}[c.gl])
}

// state sets everything that is neither on the screen nor at the cursor.
func (d *dumper) state() {
	t := d.t
	for _, m := range slices.Sorted(maps.Keys(t.modes)) {
		if m == autowrap || m == insert {
			continue
		}
		final := "l"
		if t.modes[m] {
			final = "h"
		}
		if m < 0 {
			d.s("\x1b[?" + strconv.Itoa(int(-m)) + final)
		} else {
			d.s("\x1b[" + strconv.Itoa(int(m)) + final)
		}
	}
	if t.keypad {
		d.s("\x1b=")
	} else {
		d.s("\x1b>")
	}
	d.s("\x1b[" + strconv.Itoa(t.shape) + " q" + t.keys)
	for _, k := range slices.Sorted(maps.Keys(t.palette)) {
		d.s("\x1b]" + k + ";" + t.palette[k] + "\x1b\\")
	}
	pushed := len(t.titles)
	told := false // a terminal whose title nobody ever set keeps its own
	for _, title := range append(slices.Clone(t.titles), t.title) {
		if told = told || title != ""; told {
			d.s("\x1b]2;" + title + "\x1b\\")
		}
		if pushed > 0 {
			d.s("\x1b[22;2t")
		}
		pushed--
	}
	if t.top != 0 || t.bot != t.rows {
		d.s("\x1b[" + strconv.Itoa(t.top+1) + ";" + strconv.Itoa(t.bot) + "r")
	}
}

// cursor puts the cursor where it was, and what goes with it.
func (d *dumper) cursor() {
	t := d.t
	c := &t.cur
	y := c.y
	if c.origin {
		d.s("\x1b[?6h")
		y -= t.top
	}
	if t.on(autowrap) {
		d.s("\x1b[?7h")
	}
	switch {
	case t.lastX >= 0 && !t.inserts:
		d.again(t.lines[c.y], t.lastX, y)
		return
	case c.wrap:
		d.wrapped(t.lines[c.y], c.x, y)
	default:
		d.place(c.x, y)
	}
	d.sets(c)
	d.b = c.style.append(d.b)
	if t.on(insert) {
		d.s("\x1b[4h")
	}
}

// wrapped writes the last character of line l again: only that leaves the cursor behind it.
func (d *dumper) wrapped(l []cell, x, y int) {
	if l[x].r == 0 {
		x--
	}
	d.place(x, y)
	d.st = l[x].style
	d.b = d.st.append(d.b)
	d.b = utf8.AppendRune(d.b, l[x].r)
	d.s(l[x].extra)
}

// again writes the very last character again as the last thing of all, since an accent or a REP may follow.
func (d *dumper) again(l []cell, x, y int) {
	c := &d.t.cur
	d.place(x, y)
	d.sets(c)
	d.b = c.style.append(d.b)
	r := l[x].r
	if i := slices.Index(lineDrawing, r); i >= 0 && c.sets[c.gl] == '0' {
		r = rune(0x60 + i) //nolint:gosec // a table of 31
	}
	d.b = utf8.AppendRune(d.b, r)
	d.s(l[x].extra)
}
