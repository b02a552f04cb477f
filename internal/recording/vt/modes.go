package vt

// mode is a mode of SM and RM; private ones (of "CSI ?") are negative.
type mode int

const (
	insert    mode = 4
	newline   mode = 20
	cursorKey mode = -1
	originM   mode = -6
	autowrap  mode = -7
	visible   mode = -25
	reverseV  mode = -5
)

// maxModes bounds the modes that are remembered.
const maxModes = 128

// on reports whether a mode is set, by default or because somebody set it.
func (t *Terminal) on(m mode) bool {
	v, ok := t.modes[m]
	if !ok {
		return m == autowrap || m == visible
	}
	return v
}

// momentary modes do something once, or belong to a program's way of drawing; they are no state to bring back.
func momentary(m mode) bool {
	switch m {
	case -3, -40, -45, -1048, -2026, -2048, originM:
		return true
	default:
		return false
	}
}

// cacheModes keeps at hand what every character asks for.
func (t *Terminal) cacheModes() {
	t.wraps, t.inserts = t.on(autowrap), t.on(insert)
}

func (t *Terminal) setModes(prefix byte, params Params, set bool) {
	defer t.cacheModes()
	for _, p := range params {
		if p.Value < 0 {
			continue
		}
		if prefix == '?' {
			t.setPrivate(p.Value, set)
		} else if m := mode(p.Value); m == insert || m == newline {
			t.modes[m] = set
		}
	}
}

func (t *Terminal) setPrivate(n int, set bool) {
	switch n {
	case 47, 1047, 1049:
		t.switchTo(set, n)
		return
	case 1048:
		if set {
			t.save()
		} else {
			t.restore()
		}
		return
	case 6:
		t.cur.origin = set
		t.moveTo(0, 0)
		return
	}
	m := mode(-n)
	if n == 0 || momentary(m) {
		return
	}
	if _, known := t.modes[m]; !known && len(t.modes) >= maxModes {
		return
	}
	switch n { // the ways to report the mouse exclude each other, and so do its encodings
	case 9, 1000, 1002, 1003:
		t.drop(-9, -1000, -1002, -1003)
	case 1005, 1006, 1015, 1016:
		t.drop(-1005, -1006, -1015, -1016)
	}
	t.modes[m] = set
	if m == autowrap && !set {
		t.cur.wrap = false
	}
}

func (t *Terminal) drop(ms ...mode) {
	defer t.cacheModes()
	for _, m := range ms {
		delete(t.modes, m)
	}
}

// switchTo shows the alternate screen or the main one.
func (t *Terminal) switchTo(alt bool, by int) {
	if alt == t.alt {
		if by == 1049 && !alt {
			t.restore()
		}
		return
	}
	if alt && by == 1049 {
		t.save()
	}
	t.alt = alt
	t.lines, t.other = t.other, t.lines
	t.cur.wrap = false
	if alt {
		t.altMode = by
		for y := range t.lines {
			clear1(t.lines[y], style{bg: t.cur.style.bg})
		}
	} else if by == 1049 {
		t.restore()
	}
}

func (t *Terminal) savedSlot() **cursor {
	if t.alt {
		return &t.saved[1]
	}
	return &t.saved[0]
}

func (t *Terminal) save() {
	c := t.cur
	*t.savedSlot() = &c
}

func (t *Terminal) restore() {
	c := *t.savedSlot()
	if c == nil {
		fresh := newCursor()
		c = &fresh
	}
	t.cur = *c
	t.cur.wrap = t.cur.wrap && t.wraps
	t.cur.x, t.cur.y = clamp(t.cur.x, 0, t.cols-1), clamp(t.cur.y, 0, t.rows-1)
}
