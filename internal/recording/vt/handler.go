package vt

import "strings"

// handler is the Terminal as its parser sees it.
type handler Terminal

func (h *handler) t() *Terminal { return (*Terminal)(h) }

// lineDrawing is what 0x60 to 0x7e show in the line drawing set.
var lineDrawing = []rune("◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·") //nolint:gochecknoglobals // a constant table

// Print implements Handler.
func (h *handler) Print(r rune) {
	c := &h.cur
	if r >= 0x60 && r < 0x7f && c.sets[c.gl] == '0' {
		r = lineDrawing[r-0x60]
	}
	h.t().print(r)
}

// Control implements Handler.
func (h *handler) Control(b byte) {
	t := h.t()
	t.lastX = -1
	switch b {
	case '\b':
		if t.cur.x > 0 {
			t.cur.x--
		}
		t.cur.wrap = false
	case '\t':
		t.tab(1)
	case '\n', '\v', '\f':
		if t.on(newline) {
			t.cur.x = 0
		}
		t.index()
	case '\r':
		t.cur.x, t.cur.wrap = 0, false
	case 0x0e:
		t.cur.gl = 1
	case 0x0f:
		t.cur.gl = 0
	}
}

func (t *Terminal) tab(n int) {
	for ; n > 0 && t.cur.x < t.cols-1; n-- {
		t.cur.x++
		for t.cur.x < t.cols-1 && !t.tabs[t.cur.x] {
			t.cur.x++
		}
	}
}

func (t *Terminal) backTab(n int) {
	t.cur.wrap = false
	for ; n > 0 && t.cur.x > 0; n-- {
		t.cur.x--
		for t.cur.x > 0 && !t.tabs[t.cur.x] {
			t.cur.x--
		}
	}
}

// Escape implements Handler.
func (h *handler) Escape(inter, final byte) {
	t := h.t()
	t.lastX = -1
	if i := strings.IndexByte("()*+", inter); inter != 0 && i >= 0 {
		if final != '0' {
			final = 'B'
		}
		t.cur.sets[i] = final
		return
	}
	if inter == '#' && final == '8' {
		for y := range t.lines {
			for x := range t.lines[y] {
				t.lines[y][x] = cell{r: 'E'}
			}
		}
		t.top, t.bot = 0, t.rows
		t.cur.x, t.cur.y, t.cur.wrap = 0, 0, false
	}
	if inter != 0 {
		return
	}
	switch final {
	case '7':
		t.save()
	case '8':
		t.restore()
	case '=':
		t.keypad = true
	case '>':
		t.keypad = false
	case 'D':
		t.index()
	case 'E':
		t.cur.x = 0
		t.index()
	case 'H':
		t.tabs[t.cur.x] = true
	case 'M':
		t.reverseIndex()
	case 'c':
		t.reset()
	case 'n':
		t.cur.gl = 2
	case 'o':
		t.cur.gl = 3
	}
}

// CSI implements Handler.
func (h *handler) CSI(prefix byte, p Params, inter, final byte) {
	t := h.t()
	if final == 'b' && prefix == 0 && inter == 0 {
		t.repeat(p.At(0, 1))
		return
	}
	t.lastX = -1
	switch {
	case inter == ' ' && final == 'q':
		t.shape = clamp(p.At(0, 0), 0, 6)
	case inter == '!' && final == 'p':
		t.softReset()
	case inter != 0:
	case (final == 'h' || final == 'l') && (prefix == 0 || prefix == '?'):
		t.setModes(prefix, p, final == 'h')
	case prefix == '>' && final == 'm':
		t.modifyKeys(p)
	case prefix == '?' && (final == 'J' || final == 'K'), prefix == 0:
		if !t.move(p, final) {
			t.edit(p, final)
		}
	}
}

// move does the sequences that move the cursor.
func (t *Terminal) move(p Params, final byte) bool {
	n := p.At(0, 1)
	switch final {
	case 'A':
		t.moveBy(0, -n)
	case 'B', 'e':
		t.moveBy(0, n)
	case 'C', 'a':
		t.moveBy(n, 0)
	case 'D':
		t.moveBy(-n, 0)
	case 'E':
		t.moveBy(-t.cols, n)
	case 'F':
		t.moveBy(-t.cols, -n)
	case 'G', '`':
		t.cur.x, t.cur.wrap = clamp(n-1, 0, t.cols-1), false
	case 'H', 'f':
		t.moveTo(p.At(1, 1)-1, n-1)
	case 'd':
		t.moveTo(t.cur.x, n-1)
	case 'I':
		t.tab(n)
	case 'Z':
		t.backTab(n)
	case 's':
		t.save()
	case 'u':
		t.restore()
	default:
		return false
	}
	return true
}

// edit does the sequences that change the screen or how it is changed.
func (t *Terminal) edit(p Params, final byte) {
	n := p.At(0, 1)
	inRegion := t.cur.y >= t.top && t.cur.y < t.bot
	switch final {
	case '@':
		t.insertCells(n)
	case 'P':
		t.deleteCells(n)
	case 'X':
		t.erase(t.cur.y, t.cur.x, t.cur.x+n)
	case 'J':
		t.eraseDisplay(p.At(0, 0))
	case 'K':
		t.eraseLine(p.At(0, 0))
	case 'L':
		if inRegion {
			t.scrollDown(t.cur.y, n)
			t.cur.x = 0
		}
	case 'M':
		if inRegion {
			t.scrollUp(t.cur.y, n)
			t.cur.x = 0
		}
	case 'S':
		t.scrollUp(t.top, n)
	case 'T':
		if len(p) <= 1 { // else it is about the mouse
			t.scrollDown(t.top, n)
		}
	case 'g':
		switch p.At(0, 0) {
		case 0:
			t.tabs[t.cur.x] = false
		case 3:
			clear(t.tabs)
		}
		return
	case 'm':
		t.cur.style.sgr(p)
		return
	case 'r':
		t.region(n-1, p.At(1, t.rows))
	case 't':
		t.titleStack(p)
		return
	default:
		return
	}
	t.cur.wrap = false
}

// repeat does REP, which counts only right behind a character.
func (t *Terminal) repeat(n int) {
	if t.lastX < 0 {
		return
	}
	for range min(n, t.cols*t.rows) {
		t.print(t.last)
	}
}

func (t *Terminal) region(top, bot int) {
	bot = min(bot, t.rows)
	if top < bot-1 {
		t.top, t.bot = top, bot
		t.moveTo(0, 0)
	}
}

func (t *Terminal) eraseLine(how int) {
	switch how {
	case 0:
		t.erase(t.cur.y, t.cur.x, t.cols)
	case 1:
		t.erase(t.cur.y, 0, t.cur.x+1)
	case 2:
		t.erase(t.cur.y, 0, t.cols)
	}
}

func (t *Terminal) eraseDisplay(how int) {
	from, to := 0, 0
	switch how {
	case 0:
		t.eraseLine(0)
		from, to = t.cur.y+1, t.rows
	case 1:
		t.eraseLine(1)
		from, to = 0, t.cur.y
	case 2:
		from, to = 0, t.rows
	}
	for y := from; y < to; y++ {
		t.erase(y, 0, t.cols)
	}
}

func (t *Terminal) softReset() {
	t.drop(insert, autowrap, visible, cursorKey, newline)
	t.keypad = false
	t.top, t.bot = 0, t.rows
	x, y := t.cur.x, t.cur.y
	t.cur = newCursor()
	t.cur.x, t.cur.y = x, y
	*t.savedSlot() = nil
}

// modifyKeys remembers "CSI > 4 ; N m", by which programs ask for modified keys.
func (t *Terminal) modifyKeys(p Params) {
	if p.At(0, 0) != 4 {
		t.keys = ""
		return
	}
	switch p.At(1, 0) {
	case 1:
		t.keys = "\x1b[>4;1m"
	case 2:
		t.keys = "\x1b[>4;2m"
	default:
		t.keys = ""
	}
}
