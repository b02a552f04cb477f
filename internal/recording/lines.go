package recording

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sessctl/sess/internal/recording/vt"
)

// Line is a line that a session showed.
type Line struct {
	Time    time.Duration // when it was complete
	Text    string
	Screen  bool // a row of a full-screen program's
	Program bool // the command line of a program that was started, shown or not
}

// EachLine calls fn with what a session showed, line by line: each as it stood when it was left, and the rows of
// full-screen programs whenever they show something new; with programs, the programs that were started too. It ends with fn's
// error, or nil behind the last line.
func EachLine(r Records, programs bool, fn func(Line) error) error {
	ev := NewEvents(r)
	if programs {
		ev = NewEventsWithPrograms(r)
	}
	head, err := ev.Head()
	if err != nil {
		return fmt.Errorf("read lines: %w", err)
	}
	s := newSight(&head, fn)
	for {
		e, err := ev.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read lines: %w", err)
		}
		if err := s.see(&e); err != nil {
			return err
		}
	}
	return s.finish()
}

// lookEvery is the time between two looks at a full-screen program: what it showed for less may be left out.
const lookEvery = 20 * time.Millisecond

// sight turns what a session wrote into lines.
type sight struct {
	fn     func(Line) error
	tty    bool
	parser *vt.Parser
	lines  *liner
	parts  map[uint32][]byte // without a terminal: by channel, the beginning of a line
	now    time.Duration
	size   [2]int

	full   *vt.Terminal // what a full-screen program shows
	rows   map[string]bool
	looked time.Duration
	stale  bool // it wrote since
	err    error
}

func newSight(h *Head, fn func(Line) error) *sight {
	s := &sight{fn: fn, tty: h.TTY, size: [2]int{int(h.Cols), int(h.Rows)}, parts: make(map[uint32][]byte)}
	s.lines = &liner{
		emit: func(line []rune) error {
			if len(line) == 0 {
				return nil
			}
			return fn(Line{Time: s.now, Text: string(line)})
		},
		alternated: s.alternated,
	}
	s.parser = &vt.Parser{Handler: s.lines}
	return s
}

// alternated keeps a screen for as long as a full-screen program has the terminal.
func (s *sight) alternated(on bool) vt.Handler {
	if !on {
		s.look()
		s.full, s.rows = nil, nil
		return nil
	}
	s.full, s.rows = vt.New(s.size[0], s.size[1]), make(map[string]bool)
	return s.full.Handler()
}

func (s *sight) see(e *Event) error {
	if s.full != nil && s.stale && e.Time >= s.now+lookEvery {
		s.look() // what stood for a while, before it goes
	}
	s.now = e.Time
	switch {
	case e.Kind == EventResize:
		s.size = [2]int{int(e.Size.Cols), int(e.Size.Rows)}
		if s.full != nil {
			s.full.Resize(s.size[0], s.size[1])
		}
	case e.Kind == EventProgram:
		return s.fn(Line{Time: e.Time, Text: string(e.Data), Program: true})
	case e.Kind != EventOutput:
	case s.tty:
		_, _ = s.parser.Write(e.Data) // never fails
		s.stale = true
		if s.full != nil && s.now >= s.looked+lookEvery {
			s.look()
		}
	default:
		return s.pipe(e.Channel, e.Data)
	}
	return errors.Join(s.err, s.lines.err)
}

// look takes the rows of a full-screen program that it did not show before.
func (s *sight) look() {
	if s.full == nil || s.err != nil {
		return
	}
	s.looked, s.stale = s.now, false
	_, n := s.full.Size()
	rows := make(map[string]bool, n)
	for y := range n {
		row := s.full.Row(y)
		if row == "" || rows[row] {
			continue
		}
		rows[row] = true
		if !s.rows[row] {
			s.err = errors.Join(s.err, s.fn(Line{Time: s.now, Text: row, Screen: true}))
		}
	}
	s.rows = rows
}

// pipe cuts what ran without a terminal into lines; a longer one than maxLine is cut.
func (s *sight) pipe(channel uint32, data []byte) error {
	for len(data) > 0 {
		i := bytes.IndexByte(data, '\n')
		part := data
		if i >= 0 {
			part = data[:i]
		}
		line := append(s.parts[channel], part...) //nolint:gocritic // it is put back below
		if i < 0 && len(line) < maxLine {
			s.parts[channel] = line
			return nil
		}
		data = data[len(part):]
		if i >= 0 {
			data = data[1:]
		}
		s.parts[channel] = line[:0]
		if err := s.text(line); err != nil {
			return err
		}
	}
	return nil
}

func (s *sight) text(line []byte) error {
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return nil
	}
	text := string(line)
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\ufffd")
	}
	return s.fn(Line{Time: s.now, Text: text})
}

func (s *sight) finish() error {
	s.look()
	s.lines.end()
	for _, channel := range slices.Sorted(maps.Keys(s.parts)) {
		if err := s.text(s.parts[channel]); err != nil {
			return err
		}
	}
	return errors.Join(s.err, s.lines.err)
}
