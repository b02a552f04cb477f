package client

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/recording"
)

// Times of what is shown to a guest.
const (
	sayFor     = 4 * time.Second // a line of ours goes away by itself
	sayAtLeast = time.Second     // and not before, whatever is typed
	paintEvery = 25 * time.Millisecond
)

// ownerScreen paints the owner's terminal on a guest's, from an emulator that follows the output. So the guest sees what the
// owner sees whatever the size of their own terminal, of a larger screen the part where the cursor is; what we have to say lies
// over it and leaves no trace; and what programs ask a terminal is asked the owner's alone, which alone answers.
type ownerScreen struct {
	t     *terminal
	types bool // keys go to the session: they are to be those that it asked for

	mu         sync.Mutex         // protects the following; taken before terminal.mu
	screen     *recording.Display // nil: its size is not known yet
	cols, rows int                // of the guest's terminal
	x, y       int                // of the part that is painted
	shown      []string           // what is on the guest's terminal; nil: nothing of ours
	keys, look string             // what it was told last
	title      string
	titled     bool
	at         time.Time   // when it was painted last
	pending    *time.Timer // until it is painted again; nil: it need not be

	held   string // a state that is shown until it is over
	said   string
	saidAt time.Time
	unsay  *time.Timer
	told   [2]int // the owner's size that the guest was told is larger
	closed bool
}

func newOwnerScreen(t *terminal, types bool) *ownerScreen {
	o := &ownerScreen{t: t, types: types}
	o.measure()
	return o
}

func (o *ownerScreen) measure() {
	cols, rows := TerminalSize(o.t.o.Out)
	o.cols, o.rows = int(cols), int(rows)
}

// sized takes the size of the owner's terminal.
func (o *ownerScreen) sized(cols, rows int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.screen == nil {
		o.screen = recording.NewDisplay(cols, rows)
	} else {
		o.screen.Resize(cols, rows)
	}
	o.tellSize()
	o.update()
}

// resized takes the new size of the guest's terminal.
func (o *ownerScreen) resized() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.measure()
	o.shown = nil // whatever the terminal made of it
	o.tellSize()
	o.update()
}

// tellSize tells a guest, once, whose terminal is smaller than the owner's; the caller holds mu.
func (o *ownerScreen) tellSize() {
	if o.screen == nil || o.cols == 0 {
		return
	}
	cols, rows := o.screen.Size()
	if cols <= o.cols && rows <= o.rows {
		o.told = [2]int{}
		return
	}
	if size := [2]int{cols, rows}; o.told != size {
		o.told = size
		o.put(fmt.Sprintf("the owner's terminal is %d×%d, yours is %d×%d: shown in part", cols, rows, o.cols, o.rows))
	}
}

// fresh says that the screen is drawn from its beginning: whatever sequence was under way is over.
func (o *ownerScreen) fresh() { _, _ = o.Write([]byte{0x18}) } // CAN; it never fails

// Write takes output of the session. It never fails: a terminal that is gone shows at its reader.
func (o *ownerScreen) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.screen == nil {
		return len(p), nil // a screen begins with its size
	}
	_, _ = o.screen.Write(p) // never fails
	o.update()
	return len(p), nil
}

// update paints, now or in a moment; the caller holds mu.
func (o *ownerScreen) update() {
	switch {
	case o.screen == nil || o.closed || o.cols == 0 || o.pending != nil:
	case time.Since(o.at) >= paintEvery:
		o.paint()
	default:
		o.pending = time.AfterFunc(paintEvery-time.Since(o.at), func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.pending = nil
			if !o.closed {
				o.paint()
			}
		})
	}
}

// paint brings the guest's terminal to what it is to show; the caller holds mu.
func (o *ownerScreen) paint() {
	var b strings.Builder
	if o.shown == nil {
		if !o.t.alternate() {
			b.WriteString("\x1b[?1049h") // what was on the guest's terminal before stays there
		}
		b.WriteString("\x1b[?7l\x1b[m\x1b[2J")
		o.shown, o.keys, o.look = make([]string, o.rows), "", ""
	}
	cx, cy, look := o.screen.Cursor()
	cols, rows := o.screen.Size()
	o.x, o.y = window(o.x, cx, o.cols, cols), window(o.y, cy, o.rows, rows)
	b.WriteString("\x1b[?25l")
	ours := o.lines()
	for i := range o.shown {
		row := ""
		if i < len(ours) {
			row = "\x1b[0;7m\x1b[K sessctl: " + ours[i] + " \x1b[m"
		} else {
			row = o.screen.Part(o.x, o.y+i, o.cols)
		}
		if row != o.shown[i] {
			o.shown[i] = row
			fmt.Fprintf(&b, "\x1b[%d;1H%s", i+1, row)
		}
	}
	if keys := o.screen.Keys(); o.types && keys != o.keys {
		o.keys = keys
		b.WriteString(keys)
	}
	if title := o.screen.Title(); title != o.title {
		if !o.titled {
			o.titled = true
			b.WriteString(pushTitle)
		}
		o.title = title
		b.WriteString("\x1b]2;" + title + "\x1b\\")
	}
	fmt.Fprintf(&b, "\x1b[%d;%dH%s", cy-o.y+1, cx-o.x+1, look)
	o.at = time.Now()
	_, _ = o.t.Write([]byte(b.String()))
}

// window gives where a part of n out of all begins, which began at was, so that at is in it.
func window(was, at, n, all int) int {
	switch {
	case at < n:
		was = 0
	case at < was || at >= was+n:
		was = at - n*3/4
	}
	return max(0, min(was, all-n))
}

// lines are what we have to say, over the first rows; the caller holds mu.
func (o *ownerScreen) lines() []string {
	var lines []string
	if o.held != "" {
		lines = append(lines, o.held)
	}
	if o.said != "" {
		lines = append(lines, strings.Split(o.said, "\n")...)
	}
	return lines
}

// say shows some lines for a while.
func (o *ownerScreen) say(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.put(text)
	o.update()
}

// put has text said; the caller holds mu.
func (o *ownerScreen) put(text string) {
	o.said, o.saidAt = text, time.Now()
	if o.unsay != nil {
		o.unsay.Stop()
	}
	o.unsay = time.AfterFunc(sayFor, func() { o.dismiss(sayFor) })
}

// typed says that the guest typed: what was said has been seen.
func (o *ownerScreen) typed() { o.dismiss(sayAtLeast) }

// dismiss takes away what was said, if it has been there for so long.
func (o *ownerScreen) dismiss(after time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.said == "" || time.Since(o.saidAt) < after {
		return
	}
	o.said = ""
	o.update()
}

// hold shows a state; empty: it is over.
func (o *ownerScreen) hold(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = text
	o.update()
}

// close ends the painting. The terminal itself is restored by who opened it.
func (o *ownerScreen) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.closed = true
	for _, timer := range []*time.Timer{o.unsay, o.pending} {
		if timer != nil {
			timer.Stop()
		}
	}
	if o.titled {
		_, _ = o.t.Write([]byte(popTitle))
	}
}
