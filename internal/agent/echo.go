package agent

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/agent/process"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// echoes tells the record of masked input: what was typed while the terminal echoed, and nothing else. Input counts as echoed if
//
//	the terminal's ECHO was on before it was written, and still after (before the line's end is), and
//	the same characters then came out of the terminal, in the same order, soon.
//
// The second is there because the kernel takes input up later than we write it, and a program may switch ECHO off in between, or
// off and on again: what it did not show then is not kept. So an error can only be to keep too little. Line editors (readline,
// zle, vim) switch ECHO off and show what they like themselves: theirs is not kept, as a prompt for a password that shows
// something looks the same.
//
// Without a record to tell, everything passes.
type echoes struct {
	p    terminal
	to   io.Writer // the record
	wait time.Duration

	typing sync.Mutex // one writes to the terminal at a time; taken before mu

	mu      sync.Mutex // never held while the terminal is written to: its output must be read meanwhile
	queue   []typed    // in the order in which it was typed
	size    int        // bytes in queue
	writing bool
	at      uint64 // bytes that came out so far
	tail    []byte // the last of them, up to at: kept while there is a queue or somebody writes
	seen    uint64 // up to where echoes were found
}

// terminal is what is typed on.
type terminal interface {
	Echoes() bool
	Input() io.Writer
}

// typed waits for its echo.
type typed struct {
	num   uint16
	text  []byte // printable: what the terminal shows as it is
	rest  []byte // control characters behind it: shown in many ways, and no secret
	from  uint64 // at, before it was written
	until time.Time
}

// Bounds of what waits.
const (
	echoWait  = time.Second // an echo comes at once
	maxTyped  = 16 << 10    // bytes of input; what is more is not kept
	maxEchoed = 64 << 10    // bytes of output to look for it in
)

// echoes begins to watch a session's terminal if the offer asks for that.
func (s *session) echoes(p *process.Process, tty bool) *echoes {
	if !s.offer.Echoed || !tty {
		return &echoes{p: p}
	}
	return &echoes{p: p, to: s.endpoint.Out(wire.ChannelEchoed), wait: echoWait}
}

// input gives where a participant's input is to be written to.
func (e *echoes) input(num uint16) io.Writer {
	if e.to == nil {
		return e.p.Input()
	}
	return &echoInput{e, num}
}

// output gives what r gives, and looks at it.
func (e *echoes) output(r io.ReadCloser) io.ReadCloser {
	if e.to == nil {
		return r
	}
	return &echoOutput{r, e}
}

type echoInput struct {
	e   *echoes
	num uint16
}

// Write implements io.Writer. It writes what is printable by itself, and looks then: behind a line's end the program may go on, and
// the first that one does that asked for a name is to switch ECHO off for the password.
func (w *echoInput) Write(b []byte) (int, error) {
	w.e.typing.Lock()
	defer w.e.typing.Unlock()
	total := 0
	for len(b) > 0 {
		if !w.e.p.Echoes() {
			n, err := w.e.p.Input().Write(b)
			return total + n, err
		}
		text := span(b, true)
		n, err := w.piece(b[:text], b[text:text+span(b[text:], false)])
		if total += n; err != nil {
			return total, err
		}
		b = b[n:]
	}
	return total, nil
}

// piece writes what is printable, then the control characters behind it.
func (w *echoInput) piece(text, rest []byte) (int, error) {
	e := w.e
	e.mu.Lock()
	from := e.at
	e.writing = true
	e.mu.Unlock()
	n, err := 0, error(nil)
	if len(text) > 0 {
		n, err = e.p.Input().Write(text)
	}
	still := e.p.Echoes()
	if err == nil && len(rest) > 0 {
		var more int
		more, err = e.p.Input().Write(rest)
		n += more
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.writing = false
	if still && err == nil {
		e.add(w.num, text, rest, from)
	}
	e.match()
	return n, err
}

type echoOutput struct {
	io.ReadCloser
	e *echoes
}

// Read implements io.Reader.
func (r *echoOutput) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	e := r.e
	e.mu.Lock()
	defer e.mu.Unlock()
	e.at += uint64(n) //nolint:gosec // n ≥ 0
	if len(e.queue) > 0 || e.writing {
		e.tail = append(e.tail, b[:n]...)
		if more := len(e.tail) - maxEchoed; more > 0 {
			e.tail = append(e.tail[:0], e.tail[more:]...)
		}
		e.match()
	}
	return n, err
}

// add queues what was typed: text is shown as it is. mu is held.
func (e *echoes) add(num uint16, text, rest []byte, from uint64) {
	if e.size+len(text)+len(rest) > maxTyped {
		return
	}
	e.size += len(text) + len(rest)
	if last := len(e.queue) - 1; len(text) == 0 && last >= 0 && e.queue[last].num == num {
		e.queue[last].rest = append(e.queue[last].rest, rest...)
		return
	}
	e.queue = append(e.queue, typed{num: num, text: slices.Clone(text), rest: slices.Clone(rest), from: from, until: time.Now().Add(e.wait)})
}

// span is how many bytes at the start of b are printable, or not.
func span(b []byte, printable bool) int {
	n := bytes.IndexFunc(b, func(r rune) bool { return (r >= ' ' && r != 0x7f) != printable })
	if n < 0 {
		return len(b)
	}
	return n
}

// match tells the record of what was echoed meanwhile, first come first, and forgets what was not in time. mu is held.
func (e *echoes) match() {
	base := e.at - uint64(len(e.tail))
	for len(e.queue) > 0 {
		t := &e.queue[0]
		from := max(t.from, e.seen, base)
		i := bytes.Index(e.tail[from-base:], t.text)
		switch {
		case i >= 0:
			e.seen = from + uint64(i+len(t.text))
			e.tell(t)
		case time.Now().Before(t.until):
			return
		}
		e.size -= len(t.text) + len(t.rest)
		e.queue = e.queue[1:]
	}
	e.queue = nil
	if !e.writing {
		e.tail = e.tail[:0]
	}
}

// tell puts what was echoed on record. mu is held: what is typed next waits, as everything does when the record can't be
// written.
func (e *echoes) tell(t *typed) {
	b, err := json.Marshal(sess.EchoedLine{Participant: t.num, Typed: append(t.text, t.rest...)})
	if err == nil {
		_, _ = e.to.Write(append(b, '\n')) // fails when the session is over
	}
}
