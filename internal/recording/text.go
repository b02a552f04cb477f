package recording

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sessctl/sess/internal/recording/vt"
)

// ExportText writes the output of a recording as plain text. What ran without a terminal comes out byte for byte,
// standard error included. What ran on one is told line by line, as it stood when the line was left: colours are gone,
// typing mistakes that were corrected too, and a full-screen program leaves one line that says so. With programs, each that
// was started has a line that says when, and with which arguments: [00:12 make all].
func ExportText(r Records, w io.Writer, programs bool) error {
	ev := NewEvents(r)
	if programs {
		ev = NewEventsWithPrograms(r)
	}
	head, err := ev.Head()
	if err != nil {
		return fmt.Errorf("export recording: %w", err)
	}
	out := bufio.NewWriterSize(w, 64<<10)
	var to io.Writer = out
	lines := &liner{}
	lines.emit = func(line []rune) error {
		for _, r := range line {
			if _, err := out.WriteRune(r); err != nil {
				return err
			}
		}
		return out.WriteByte('\n')
	}
	lines.alternated = func(on bool) vt.Handler {
		if on {
			lines.say("[a full-screen program]")
		}
		return nil
	}
	if head.TTY {
		to = &vt.Parser{Handler: lines}
	}
	open := false // without a terminal: the last line has not ended
	for {
		e, err := ev.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		switch {
		case err != nil:
		case e.Kind == EventOutput:
			_, err = to.Write(e.Data)
			open = !head.TTY && e.Data[len(e.Data)-1] != '\n'
		case e.Kind == EventProgram:
			if open {
				err = out.WriteByte('\n')
			}
			open = false
			lines.say("[" + Clock(e.Time) + " " + string(e.Data) + "]")
		}
		if err == nil {
			err = lines.err
		}
		if err != nil {
			return fmt.Errorf("export recording: %w", err)
		}
	}
	lines.end()
	if err := errors.Join(lines.err, out.Flush()); err != nil {
		return fmt.Errorf("export recording: %w", err)
	}
	return nil
}

// Clock says a time in a recording as a clock does: 1:02:03.
func Clock(d time.Duration) string {
	d = d.Truncate(time.Second)
	h, m, s := int(d/time.Hour), int(d/time.Minute)%60, int(d/time.Second)%60
	if h > 0 {
		return fmt.Sprintf("%d:%02d:%02d", h, m, s)
	}
	return fmt.Sprintf("%02d:%02d", m, s)
}

// maxLine bounds a line of a terminal, in characters.
const maxLine = 16 << 10

// liner follows one line of a terminal: what a shell's line editor and progress bars do. It is a vt.Handler.
type liner struct {
	emit func(line []rune) error // takes a line that was left
	// alternated hears that a full-screen program has the terminal, or has it no more. What it gives handles what such a
	// program writes; nil: nothing does.
	alternated func(on bool) vt.Handler

	line   []rune
	at     int
	full   bool // a full-screen program has the terminal
	screen vt.Handler
	err    error
}

// Print implements vt.Handler.
func (l *liner) Print(r rune) {
	if l.full {
		if l.screen != nil {
			l.screen.Print(r)
		}
		return
	}
	if l.at >= maxLine {
		l.feed()
	}
	for len(l.line) <= l.at {
		l.line = append(l.line, ' ')
	}
	l.line[l.at] = r
	l.at++
}

// Control implements vt.Handler.
func (l *liner) Control(b byte) {
	if l.full {
		if l.screen != nil {
			l.screen.Control(b)
		}
		return
	}
	switch b {
	case '\r':
		l.at = 0
	case '\b':
		l.at = max(0, l.at-1)
	case '\t':
		l.Print('\t')
	case '\n', '\v', '\f':
		l.feed()
	}
}

func (l *liner) feed() {
	end := len(l.line)
	for end > 0 && l.line[end-1] == ' ' {
		end--
	}
	if err := l.emit(l.line[:end]); err != nil && l.err == nil {
		l.err = err
	}
	l.line, l.at = l.line[:0], 0
}

func (l *liner) say(text string) {
	if err := l.emit([]rune(text)); err != nil && l.err == nil {
		l.err = err
	}
}

func (l *liner) end() {
	if len(l.line) > 0 {
		l.feed()
	}
}

// Escape implements vt.Handler.
func (l *liner) Escape(inter, final byte) {
	if l.full && l.screen != nil {
		l.screen.Escape(inter, final)
	}
}

// OSC implements vt.Handler.
func (*liner) OSC([]byte) {}

// CSI implements vt.Handler.
func (l *liner) CSI(prefix byte, p vt.Params, inter, final byte) {
	if prefix == '?' && (final == 'h' || final == 'l') {
		for _, m := range p {
			if m.Value == 47 || m.Value == 1047 || m.Value == 1049 {
				l.alternate(final == 'h')
			}
		}
	}
	if l.full && l.screen != nil {
		l.screen.CSI(prefix, p, inter, final)
	}
	if l.full || prefix != 0 || inter != 0 {
		return
	}
	n := min(p.At(0, 1), maxLine)
	here := min(l.at, len(l.line))
	switch final {
	case 'C':
		l.at = min(l.at+n, maxLine)
	case 'D':
		l.at = max(0, l.at-n)
	case 'G':
		l.at = n - 1
	case 'K':
		l.erase(p.At(0, 0), here)
	case 'P':
		l.line = slices.Delete(l.line, here, min(here+n, len(l.line)))
	case '@':
		if len(l.line)+n <= maxLine {
			l.line = slices.Insert(l.line, here, slices.Repeat([]rune{' '}, n)...)
		}
	}
}

func (l *liner) erase(how, here int) {
	switch how {
	case 0:
		l.line = l.line[:here]
	case 1:
		for i := range here {
			l.line[i] = ' '
		}
	case 2:
		l.line = l.line[:0]
	}
}

func (l *liner) alternate(on bool) {
	if on == l.full {
		return
	}
	l.full = on
	if on {
		l.end()
	}
	l.screen = l.alternated(on)
}
