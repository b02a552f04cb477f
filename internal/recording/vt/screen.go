package vt

// Limits on the size of a screen, so that a size from outside can't take all memory.
const (
	MaxCols = 1000
	MaxRows = 500
)

// cell is one place of the screen. A wide character has its right half in the next cell, with r 0.
type cell struct {
	r     rune
	extra string // combining characters
	style style
}

const maxExtra = 32 // bytes of combining characters in one cell

// cursor is where and how the next character goes; it is what DECSC saves.
type cursor struct {
	x, y   int
	wrap   bool // the last column is written: the next character goes to the next line first
	origin bool // DECOM
	style  style
	sets   [4]byte // character sets G0 to G3: 'B' ASCII, '0' line drawing
	gl     uint8   // the set in use
}

func newCursor() cursor { return cursor{sets: [4]byte{'B', 'B', 'B', 'B'}} }

// Terminal is a terminal's state. Write output to it; Screen tells the state as bytes. It is for one goroutine.
type Terminal struct {
	parser     Parser
	cols, rows int
	cur        cursor
	lines      [][]cell   // the screen that is shown
	other      [][]cell   // the one that is not
	saved      [2]*cursor // of main and alternate; nil: never saved
	alt        bool
	altMode    int // the mode that switched to the alternate screen: 47, 1047 or 1049
	top, bot   int // scroll region, rows top to bot-1
	tabs       []bool
	modes      map[mode]bool
	wraps      bool // autowrap is on
	inserts    bool // insert is on
	shape      int  // DECSCUSR
	keypad     bool
	title      string
	titles     []string          // pushed
	palette    map[string]string // OSC 10, 11, 12, 4;N: as last set
	keys       string            // modifyOtherKeys: what set it
	last       rune              // for REP
	lastX      int               // column of the character that was written just now; -1: something else came since
}

// New returns a terminal of the given size in cells; both are brought into 1 to the maximum.
func New(cols, rows int) *Terminal {
	t := &Terminal{cols: clamp(cols, 1, MaxCols), rows: clamp(rows, 1, MaxRows)}
	t.parser.Handler = (*handler)(t)
	t.reset()
	return t
}

// Size gives the size in cells.
func (t *Terminal) Size() (cols, rows int) { return t.cols, t.rows }

// Title gives the window's title.
func (t *Terminal) Title() string { return t.title }

// Ground reports whether output of others could be shown here without breaking a sequence.
func (t *Terminal) Ground() bool { return t.parser.Ground() }

// Write takes in output of a program. It never fails.
func (t *Terminal) Write(b []byte) (int, error) { return t.parser.Write(b) }

// Skim takes in output that lies so far back that only its modes, titles and colours still matter: text is left out.
func (t *Terminal) Skim(b []byte) { t.parser.Skim(b) }

func (t *Terminal) reset() {
	t.cur = newCursor()
	t.lines, t.other = newLines(t.cols, t.rows), newLines(t.cols, t.rows)
	t.saved = [2]*cursor{}
	t.alt, t.altMode = false, 0
	t.top, t.bot = 0, t.rows
	t.tabs = defaultTabs(t.cols)
	t.modes = make(map[mode]bool)
	t.cacheModes()
	t.shape, t.keypad, t.keys = 0, false, ""
	t.title, t.titles = "", nil
	t.last, t.lastX = 0, -1
	t.palette = make(map[string]string)
}

func newLines(cols, rows int) [][]cell {
	ls := make([][]cell, rows)
	for i := range ls {
		ls[i] = newLine(cols)
	}
	return ls
}

func newLine(cols int) []cell {
	l := make([]cell, cols)
	clear1(l, style{})
	return l
}

// clear1 makes cells blank, with the background of st.
func clear1(l []cell, st style) {
	if len(l) == 0 {
		return
	}
	l[0] = cell{r: ' ', style: style{bg: st.bg}}
	for n := 1; n < len(l); n *= 2 {
		copy(l[n:], l[:n])
	}
}

func defaultTabs(cols int) []bool {
	tabs := make([]bool, cols)
	for i := 8; i < cols; i += 8 {
		tabs[i] = true
	}
	return tabs
}

// Resize changes the size. Lines that no longer fit go off the top as long as the cursor is below them; nothing is
// wrapped anew, since programs draw again after a resize.
func (t *Terminal) Resize(cols, rows int) {
	cols, rows = clamp(cols, 1, MaxCols), clamp(rows, 1, MaxRows)
	if cols == t.cols && rows == t.rows {
		return
	}
	off := max(0, t.cur.y-(rows-1))
	t.lines = resizeLines(t.lines[off:], cols, rows)
	t.other = resizeLines(t.other, cols, rows)
	tabs := defaultTabs(cols)
	copy(tabs, t.tabs)
	t.tabs = tabs
	t.cols, t.rows, t.top, t.bot = cols, rows, 0, rows
	t.cur.y -= off
	t.lastX = -1
	for _, c := range []*cursor{&t.cur, t.saved[0], t.saved[1]} {
		if c != nil {
			c.x, c.y, c.wrap = clamp(c.x, 0, cols-1), clamp(c.y, 0, rows-1), false
		}
	}
}

func resizeLines(old [][]cell, cols, rows int) [][]cell {
	ls := newLines(cols, rows)
	for i := range min(len(old), rows) {
		n := copy(ls[i], old[i])
		if n < len(old[i]) && old[i][n].r == 0 { // half a wide character
			ls[i][n-1] = cell{r: ' '}
		}
	}
	return ls
}

func clamp(v, lo, hi int) int { return max(lo, min(v, hi)) }
