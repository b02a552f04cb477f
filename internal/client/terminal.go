package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// TerminalIO is the user's terminal.
type TerminalIO struct {
	In  *os.File // put into raw mode when it is a terminal; anything else is read as it is, without escapes
	Out *os.File
	// Lines takes what sessctl itself has to say: usually standard error, which is usually the same terminal.
	Lines *os.File
	// Escape begins an escape sequence behind Enter; NoEscape: none.
	Escape  byte
	Signals <-chan os.Signal // sent to this process; nil: none. Any of them ends the session
}

// Result says how a session with a terminal was left.
type Result struct {
	Exit     sess.Exit
	Detached bool // by the user; the session runs on
	Left     bool // ended by the user's own ~. or a signal to this process; Exit is what the process should exit with
}

// Terminal drives a session on the user's terminal, until it ends or the user leaves it. The terminal is as it was before
// when Terminal returns, a panic included. The error says why there is no status of the
// session's own, or, as an *EndedError beside one, what ended it.
func (s *Session) Terminal(ctx context.Context, o TerminalIO) (res Result, err error) {
	t, err := openTerminal(o, s.redraw)
	if err != nil {
		return Result{}, err
	}
	d := &terminalDriver{s: s, o: o, t: t, typed: newTyped(), acts: make(chan action, 4), hung: make(chan struct{}), sawOut: make(chan struct{})}
	s.onGap = func(n uint64) {
		d.gaps.add(n)
	}
	defer t.close()
	d.r = s.run(ctx, t)
	defer d.r.stop()
	d.start()
	res, err = d.wait(ctx)
	d.typed.close()
	return res, err
}

// escapeStatus is what sessctl exits with after ~., as ssh does.
const escapeStatus = 255

type terminalDriver struct {
	s     *Session
	o     TerminalIO
	t     *terminal
	r     *running
	typed *typed
	gaps  gaps

	acts   chan action   // escapes typed
	hung   chan struct{} // closed when the user's terminal is gone
	once   sync.Once     // closes hung
	sawOut chan struct{} // closed when all output is written or none will come
}

func (d *terminalDriver) hangUp() { d.once.Do(func() { close(d.hung) }) }

// start starts the copying. The reader of the terminal may hang in a read that nothing but the end of the process ends;
// the others end with the endpoint.
func (d *terminalDriver) start() {
	go d.t.guard(d.read)
	go d.t.guard(d.send)
	go d.t.guard(func() {
		defer close(d.sawOut)
		own := &ownWriter{w: d.t}
		_, _ = d.s.endpoint.In(wire.ChannelMain).WriteTo(own)
		if own.err != nil {
			d.hangUp()
		}
	})
}

// read takes what the user types, and acts on escapes at once, however full the way to the session is.
func (d *terminalDriver) read() {
	defer d.typed.close()
	esc := newEscapes(d.o.Escape)
	if !d.t.raw() {
		esc = newEscapes(NoEscape)
	}
	buf := make([]byte, 32<<10)
	var out []byte
	for {
		n, err := d.o.In.Read(buf)
		rest := buf[:n]
		for len(rest) > 0 {
			var a action
			out, a, rest = esc.feed(rest, out[:0])
			if !d.typed.put(out) {
				return
			}
			if len(out) > 0 {
				d.t.uncover()
			}
			// Let send go first, on this thread: the next read keeps the thread, and send would wait until another one has
			// woken up and taken it over.
			runtime.Gosched()
			switch a {
			case actionNone:
			case actionHelp:
				d.t.help(d.o.Escape)
			default:
				d.acts <- a
			}
		}
		if err != nil {
			if d.t.raw() {
				d.hangUp() // a terminal has no end of file
			}
			return
		}
	}
}

// send passes on what was typed.
func (d *terminalDriver) send() {
	out := d.s.endpoint.Out(wire.ChannelMain)
	for {
		p, ok := d.typed.take()
		if !ok {
			break
		}
		if _, err := out.Write(p); err != nil {
			return
		}
	}
	if !d.t.raw() {
		out.CloseWrite()
	}
}

// wait returns when the session has ended or was left.
func (d *terminalDriver) wait(ctx context.Context) (Result, error) {
	over := d.r.over
	resized := d.t.resized()
	people := newPeople(d.s, d.t, d.typed.pick)
	for {
		select {
		case <-d.s.endpoint.Finished():
			return d.finished(ctx)
		case <-over:
			<-d.sawOut // what came is shown; a terminal that is gone fails its writes
			select {
			case <-d.s.endpoint.Finished():
				return d.finished(ctx)
			default:
				return Result{}, d.r.err
			}
		case <-resized:
			d.s.endpoint.Resize()
		case <-d.gaps.news():
			d.t.say(fmt.Sprintf("%d bytes of output came while you were away and are not shown; they are on record", d.gaps.sum()))
		case a := <-d.acts:
			if a >= actionWho {
				people.act(ctx, a)
				continue
			}
			if a == actionDetach {
				d.s.endpoint.Detach()
				return Result{Detached: true}, nil
			}
			return d.leave(ctx, sess.Exit{Status: escapeStatus}), nil
		case sig := <-d.o.Signals:
			return d.leave(ctx, signalExit(sig)), nil
		case <-d.hung:
			return d.leave(ctx, sess.Exit{Status: hangupStatus, Signal: "SIGHUP"}), nil
		}
	}
}

const hangupStatus = 128 + 1

// leave ends the session and gives what it prints on the way out a moment.
func (d *terminalDriver) leave(ctx context.Context, as sess.Exit) Result {
	res := Result{Exit: as, Left: true}
	ended := make(chan struct{})
	go func() { // ends within endTimeout
		defer close(ended)
		d.s.endQuietly(ctx, "left by the user")
	}()
	after := time.After(endTimeout + lastWords)
	for {
		select {
		case <-ended:
			ended, after = nil, time.After(lastWords)
		case <-d.s.endpoint.Finished():
			d.s.sayDone(d.r)
			return res
		case <-d.r.over:
			return res
		case <-d.acts: // once more: go at once
			return res
		case <-after:
			return res
		}
	}
}

func (d *terminalDriver) finished(ctx context.Context) (Result, error) {
	<-d.sawOut
	d.s.sayDone(d.r)
	x, ok := d.s.endpoint.Result()
	if !ok {
		return Result{}, errors.New("the session ended without a status")
	}
	return Result{Exit: x.Exit}, d.s.why(ctx, x.Exit)
}

// redraw makes programs draw their screen again, by the only means that all of them know: another size, and back.
func (s *Session) redraw() {
	if s.size == nil {
		return
	}
	if cols, rows := s.size(); rows > 1 {
		_ = s.endpoint.SendCtl(wire.CtlResize, wire.Resize{Cols: cols, Rows: rows - 1})
		_ = s.endpoint.SendCtl(wire.CtlResize, wire.Resize{Cols: cols, Rows: rows})
	}
}

// gaps sums up bytes that will not be shown; add may be called from the connection's reader.
type gaps struct {
	mu    sync.Mutex // protects the following
	n     uint64
	ready chan struct{}
}

func (g *gaps) channel() chan struct{} {
	if g.ready == nil {
		g.ready = make(chan struct{}, 1)
	}
	return g.ready
}

func (g *gaps) news() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.channel()
}

func (g *gaps) add(n uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n += n
	select {
	case g.channel() <- struct{}{}:
	default:
	}
}

func (g *gaps) sum() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.n
	g.n = 0
	return n
}

// typed is a bounded queue between the terminal and the session, so that escapes are seen while the session takes
// nothing.
type typed struct {
	mu     sync.Mutex // protects the following
	cond   sync.Cond
	buf    []byte
	spare  []byte // what take gave out before
	closed bool

	picked func(line string) // takes the next line instead of the session; nil: none does
	line   []byte
}

// maxTyped is how much may wait, in bytes; more stays in the terminal.
const maxTyped = 64 << 10

func newTyped() *typed {
	q := &typed{}
	q.cond.L = &q.mu
	return q
}

// put queues p and reports whether anybody will still take it.
func (q *typed) put(p []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.buf) >= maxTyped && !q.closed {
		q.cond.Wait()
	}
	if q.picked != nil {
		p = q.choose(p)
	}
	q.buf = append(q.buf, p...)
	q.cond.Broadcast()
	return !q.closed
}

// maxChoice bounds the line that is typed for pick, in bytes.
const maxChoice = 64

// pick has the next line that is typed taken by f instead of the session.
func (q *typed) pick(f func(line string)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.picked, q.line = f, nil
}

// choose takes from p what belongs to the line that f of pick waits for, and gives the rest; mu is held.
func (q *typed) choose(p []byte) []byte {
	for i, b := range p {
		switch {
		case b == '\r' || b == '\n' || b == 0x03 || len(q.line) == maxChoice:
			f, line := q.picked, string(q.line)
			if b == 0x03 {
				line = ""
			}
			q.picked, q.line = nil, nil
			go f(line) // it speaks to the terminal: not under our lock
			return p[i+1:]
		case b >= '0' && b <= '9':
			q.line = append(q.line, b)
		}
	}
	return nil
}

// take returns all that waits; it is valid until the next take.
func (q *typed) take() ([]byte, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.buf) == 0 && !q.closed {
		q.cond.Wait()
	}
	if len(q.buf) == 0 {
		return nil, false
	}
	q.buf, q.spare = q.spare[:0], q.buf
	q.cond.Broadcast()
	return q.spare, true
}

func (q *typed) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.cond.Broadcast()
}

// errNoTerminal says what to use instead.
var errNoTerminal = sess.New(sess.CodeInvalid, "this needs a terminal", "for scripts there is sessctl exec INSTANCE -- COMMAND")

// NeedTerminal returns an error that says what to use instead when f is no terminal.
func NeedTerminal(f *os.File) error {
	if !isTerminal(f) {
		return errNoTerminal
	}
	return nil
}
