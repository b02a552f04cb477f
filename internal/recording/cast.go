package recording

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// CastOptions of ExportCast. The zero value is good.
type CastOptions struct {
	Input     bool          // write input too, as "i" events, with a marker ("m" event) where another participant begins to type
	Programs  bool          // write a marker ("m" event) for each program that was started
	Title     string        // of the recording
	IdleLimit time.Duration // suggested to players as the longest pause; 0: none
}

// ExportCast writes a recording as asciicast v2, which asciinema and its players take. The format holds text only: bytes
// that are no UTF-8 become U+FFFD. Standard error is written as output.
func ExportCast(r Records, w io.Writer, opts CastOptions) error {
	ev := NewEvents(r)
	if opts.Programs {
		ev = NewEventsWithPrograms(r)
	}
	head, err := ev.Head()
	if err != nil {
		return fmt.Errorf("export recording: %w", err)
	}
	c := caster{w: bufio.NewWriterSize(w, 64<<10), tty: head.TTY, texts: make(map[uint64]*text)}
	if err := c.head(&head, opts); err != nil {
		return fmt.Errorf("export recording: %w", err)
	}
	for {
		e, err := ev.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && (e.Kind != EventInput || opts.Input) {
			err = c.event(&e)
		}
		if err != nil {
			return fmt.Errorf("export recording: %w", err)
		}
	}
	if err := c.finish(); err != nil {
		return fmt.Errorf("export recording: %w", err)
	}
	return nil
}

// castHead is the first line.
type castHead struct {
	Version   int               `json:"version"`
	Width     uint16            `json:"width"`
	Height    uint16            `json:"height"`
	Timestamp int64             `json:"timestamp"`
	IdleLimit float64           `json:"idle_time_limit,omitempty"`
	Command   string            `json:"command,omitempty"`
	Title     string            `json:"title,omitempty"`
	Env       map[string]string `json:"env,omitempty"`
}

type caster struct {
	w      *bufio.Writer
	tty    bool
	texts  map[uint64]*text // by kind, participant and channel
	typist uint16           // who typed last
	last   time.Duration
	line   bytes.Buffer
}

func (c *caster) head(h *Head, opts CastOptions) error {
	ch := castHead{
		Version: 2, Width: h.Cols, Height: h.Rows, Timestamp: h.Started.Unix(),
		IdleLimit: opts.IdleLimit.Seconds(), Command: strings.Join(h.Command, " "), Title: opts.Title,
	}
	if h.Term != "" {
		ch.Env = map[string]string{"TERM": h.Term}
	}
	return c.json(ch)
}

func (c *caster) json(v any) error {
	c.line.Reset()
	enc := json.NewEncoder(&c.line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := c.w.Write(c.line.Bytes())
	return err
}

// seconds is a time as asciicast writes it.
type seconds time.Duration

// MarshalJSON implements json.Marshaler.
func (s seconds) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%.6f", time.Duration(s).Seconds()), nil
}

func (c *caster) event(e *Event) error {
	c.last = e.Time
	switch e.Kind { //nolint:exhaustive // the others have text
	case EventResize:
		return c.json([]any{seconds(e.Time), "r", fmt.Sprintf("%dx%d", e.Size.Cols, e.Size.Rows)})
	case EventProgram:
		return c.json([]any{seconds(e.Time), "m", string(e.Data)})
	}
	if e.Kind == EventInput && e.Participant != c.typist {
		c.typist = e.Participant
		if err := c.json([]any{seconds(e.Time), "m", typist(e.Participant)}); err != nil {
			return err
		}
	}
	key := uint64(e.Kind)<<48 | uint64(e.Participant)<<32 | uint64(e.Channel)
	t := c.texts[key]
	if t == nil {
		t = &text{crlf: !c.tty && e.Kind == EventOutput}
		c.texts[key] = t
	}
	return c.text(e.Time, e.Kind, t.add(e.Data))
}

// typist says who types from here on.
func typist(num uint16) string {
	if num == 0 {
		return "the owner types"
	}
	return fmt.Sprintf("participant %d types", num)
}

func (c *caster) text(at time.Duration, kind EventKind, s string) error {
	if s == "" {
		return nil
	}
	code := "o"
	if kind == EventInput {
		code = "i"
	}
	return c.json([]any{seconds(at), code, s})
}

// finish writes what was left of incomplete characters.
func (c *caster) finish() error {
	for key, t := range c.texts {
		if err := c.text(c.last, EventKind(key>>48), t.rest()); err != nil { //nolint:gosec // made above
			return err
		}
	}
	return c.w.Flush()
}

// text makes characters of bytes that come in pieces.
type text struct {
	crlf bool // there was no terminal to turn LF into CR LF: do it here
	cr   bool // the last byte was a CR
	part []byte
}

// add takes in bytes and gives the characters that are complete.
func (t *text) add(b []byte) string {
	if len(t.part) > 0 {
		b = append(t.part, b...)
		t.part = nil
	}
	if n := incomplete(b); n > 0 {
		t.part = bytes.Clone(b[len(b)-n:])
		b = b[:len(b)-n]
	}
	return t.lines(strings.ToValidUTF8(string(b), "\ufffd"))
}

func (t *text) rest() string {
	if len(t.part) == 0 {
		return ""
	}
	t.part = nil
	return "\ufffd"
}

func (t *text) lines(s string) string {
	if !t.crlf || s == "" {
		return s
	}
	var sb strings.Builder
	for i := range len(s) {
		if s[i] == '\n' && !t.cr {
			sb.WriteByte('\r')
		}
		t.cr = s[i] == '\r'
		sb.WriteByte(s[i])
	}
	return sb.String()
}

// incomplete gives how many bytes at the end of b are the beginning of a character that may go on.
func incomplete(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		c := b[len(b)-n]
		if utf8.RuneStart(c) {
			if c >= 0xc2 && !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}
