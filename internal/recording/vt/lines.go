package vt

import "slices"

// scrollUp moves the lines of the region from y on up by n.
func (t *Terminal) scrollUp(y, n int) {
	n = min(n, t.bot-y)
	rotate(t.lines[y:t.bot], n)
	for _, l := range t.lines[t.bot-n : t.bot] {
		clear1(l, t.cur.style)
	}
}

// scrollDown moves the lines of the region from y on down by n.
func (t *Terminal) scrollDown(y, n int) {
	n = min(n, t.bot-y)
	rotate(t.lines[y:t.bot], t.bot-y-n)
	for _, l := range t.lines[y : y+n] {
		clear1(l, t.cur.style)
	}
}

// rotate moves lines up by n, the first ones to the end.
func rotate(ls [][]cell, n int) {
	if n == 1 {
		first := ls[0]
		copy(ls, ls[1:])
		ls[len(ls)-1] = first
		return
	}
	slices.Reverse(ls[:n])
	slices.Reverse(ls[n:])
	slices.Reverse(ls)
}

// erase blanks cells x0 to x1-1 of row y, and the other half of a wide character that is cut.
func (t *Terminal) erase(y, x0, x1 int) {
	l := t.lines[y]
	x0, x1 = clamp(x0, 0, t.cols), clamp(x1, 0, t.cols)
	if x0 >= x1 {
		return
	}
	t.split(l, x0)
	t.split(l, x1)
	clear1(l[x0:x1], t.cur.style)
}

// split makes sure that no wide character lies across the left edge of column x.
func (t *Terminal) split(l []cell, x int) {
	if x > 0 && x < len(l) && l[x].r == 0 {
		l[x-1] = cell{r: ' ', style: l[x-1].style}
		l[x] = cell{r: ' ', style: l[x].style}
	}
}

// print puts a character at the cursor.
func (t *Terminal) print(r rune) {
	w := runeWidth(r)
	if w == 0 {
		t.combine(r)
		return
	}
	if w > t.cols {
		return
	}
	if t.cur.wrap || t.cur.x+w > t.cols {
		if !t.wraps {
			t.cur.x = t.cols - w
		} else {
			t.cur.x = 0
			t.index()
		}
	}
	t.cur.wrap = false
	l := t.lines[t.cur.y]
	x := t.cur.x
	if t.inserts {
		t.insertCells(w)
	}
	t.split(l, x)
	t.split(l, x+w)
	l[x] = cell{r: r, style: t.cur.style}
	if w == 2 {
		l[x+1] = cell{r: 0, style: t.cur.style}
	}
	t.last, t.lastX = r, x
	if x+w < t.cols {
		t.cur.x = x + w
		return
	}
	t.cur.x = t.cols - 1
	t.cur.wrap = t.wraps
}

// combine adds a character without width to the one before the cursor.
func (t *Terminal) combine(r rune) {
	l, x := t.lines[t.cur.y], t.cur.x-1
	switch {
	case t.cur.wrap:
		x = t.cur.x
	case t.lastX >= 0:
		x = t.lastX
	}
	if x >= 0 && l[x].r == 0 {
		x--
	}
	if x >= 0 && len(l[x].extra) < maxExtra {
		l[x].extra += string(r)
	}
}

func (t *Terminal) insertCells(n int) {
	l := t.lines[t.cur.y]
	x := t.cur.x
	n = min(n, t.cols-x)
	t.split(l, x)
	t.split(l, t.cols-n)
	copy(l[x+n:], l[x:t.cols-n])
	clear1(l[x:x+n], t.cur.style)
}

func (t *Terminal) deleteCells(n int) {
	l := t.lines[t.cur.y]
	x := t.cur.x
	n = min(n, t.cols-x)
	t.split(l, x)
	t.split(l, x+n)
	copy(l[x:], l[x+n:])
	clear1(l[t.cols-n:], t.cur.style)
}

// index moves the cursor down a line, and scrolls at the end of the region.
func (t *Terminal) index() {
	t.cur.wrap = false
	switch t.cur.y {
	case t.bot - 1:
		t.scrollUp(t.top, 1)
	case t.rows - 1:
	default:
		t.cur.y++
	}
}

func (t *Terminal) reverseIndex() {
	t.cur.wrap = false
	switch t.cur.y {
	case t.top:
		t.scrollDown(t.top, 1)
	case 0:
	default:
		t.cur.y--
	}
}

// moveTo puts the cursor at a place counted from 0; in origin mode from the region's top, and within it.
func (t *Terminal) moveTo(x, y int) {
	lo, hi := 0, t.rows-1
	if t.cur.origin {
		y += t.top
		lo, hi = t.top, t.bot-1
	}
	t.cur.x, t.cur.y, t.cur.wrap = clamp(x, 0, t.cols-1), clamp(y, lo, hi), false
}

// moveBy moves the cursor, up and down not across the edges of the region.
func (t *Terminal) moveBy(dx, dy int) {
	lo, hi := 0, t.rows-1
	if t.cur.y >= t.top {
		lo = t.top
	}
	if t.cur.y < t.bot {
		hi = t.bot - 1
	}
	t.cur.x, t.cur.y, t.cur.wrap = clamp(t.cur.x+dx, 0, t.cols-1), clamp(t.cur.y+dy, lo, hi), false
}
