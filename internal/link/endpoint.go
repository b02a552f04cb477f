package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Times of the protocol at an endpoint.
const (
	creditDelay   = 50 * time.Millisecond  // a consumed byte is credited within this time
	exitRepeat    = time.Second            // the agent repeats how the process ended until it is on record
	doneWait      = 200 * time.Millisecond // after its done a client waits this long for the status to be on record
	roundPatience = 3                      // connections in a row that break the protocol without progress end the session
)

// dataChunk is the payload of a full data frame: with the frame's header and the WebSocket's it makes two full TLS
// records of 16 KiB and not two and a bit.
const dataChunk = 2*16384 - wire.HeaderSize - 8

// Errors that Run, streams and ctl return.
var (
	ErrStopped = errors.New("the other side wants no more of this stream")
	ErrReset   = errors.New("the other side gave this stream up")
	ErrGap     = errors.New("bytes of this stream were not kept")
	ErrMoved   = sess.New(sess.CodeMoved, "the session is on another node now", "")
	// ErrSuperseded: another client took the session over.
	ErrSuperseded = sess.New(sess.CodeSuperseded, "the session was taken over from another terminal", "take it back with sessctl attach")
)

// EndError says that the session is over.
type EndError struct{ wire.EndFrame }

// Error implements error.
func (e *EndError) Error() string {
	s := "the session ended: " + string(e.Reason)
	if e.By != "" {
		s += " by " + e.By
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// EndpointConfig describes one end of a session. All callbacks run on the connection's reader and must not block.
type EndpointConfig struct {
	Side    sess.Side
	Session sess.SessionID
	Send    []uint32 // data channels this end sends on
	Recv    []uint32 // data channels this end receives on
	Window  uint64   // bytes in flight per stream, sess.WindowTerminal or sess.WindowBulk

	Boot     sess.BootID                // agent
	Fresh    bool                       // client: takes a running session over
	Size     func() (cols, rows uint16) // client with a terminal; nil without
	OnNotice func(text string)          // client; nil: ignored
	OnPeer   func(here bool)            // the other side's connection came or went; nil: ignored
	OnGap    func(ch uint32, n uint64)  // n bytes of ch will not be shown: they went to the record only; nil: ignored

	// Participant is the number of a client that is not the owner's. It sends its own input only, in rounds of its own, and
	// gets output, screens and sizes by Show, which may wait: the relay skips what does not get through.
	Participant uint16
	Show        func(h wire.Header, payload []byte) error
	// Guests is set by an agent that takes the input of participants beside the owner: see ReadGuests.
	Guests bool
}

// Endpoint is one end, client or agent, of a session's streams. It outlives connections: Run drives one after another,
// and every byte passes exactly once while the endpoint lives.
//
//	Write/ReadFrom ─▶ Sender ─┐                       ┌─▶ Receiver ─▶ Read/WriteTo
//	SendCtl ────────▶ ctl ────┴─▶ flush ═ Conn ═ Run ─┴─▶ RecvCtl
//	                              ▲ kick                │ credit, ask, go, exit_ok, done
//	                              └─────────────────────┘
//
// flush writes to the socket and may block there; it runs in the goroutine that has something to send, or in the
// writer goroutine of Run. The reader never writes: it kicks the writer. So no reader ever waits for a writer.
type Endpoint struct {
	cfg EndpointConfig

	dirty atomic.Bool   // there may be something to send
	fmu   sync.Mutex    // held by the one that sends
	kicks chan struct{} // wakes the writer goroutine

	finished chan struct{}
	closed   chan struct{}

	scratch []byte // of the one that sends: a frame

	mu sync.Mutex // protects the following

	// Connection state.
	conn         *Conn
	first        bool // no connection yet
	fresh        bool // offsets are not known yet
	going        bool // may send ctl and data
	epoch, round uint64
	needHello    bool
	lastSize     wire.Resize
	misfires     int    // connections in a row that ended in a protocol error
	progress     uint64 // counts bytes and messages that passed; clears misfires
	seenProgress uint64

	// Streams. Few: searched linearly.
	out     []*Sender
	in      []*Receiver
	turn    int // round robin over out
	ctlOut  ctlSender
	ctlIn   ctlReceiver
	guests  guestInputs
	credits *time.Timer
	due     bool // credits are due
	waiting bool // the credit timer runs

	// End state.
	result     *wire.Exit
	exit       []byte // agent: the statement
	sayExit    bool
	exitTimer  *time.Timer
	exitOK     bool
	done       bool
	sayDone    bool
	isFinished bool
	err        error // set once closed
}

// NewEndpoint makes an endpoint without a connection. Close it when it is no longer needed.
func NewEndpoint(cfg EndpointConfig) *Endpoint {
	e := &Endpoint{
		cfg: cfg, first: true, fresh: cfg.Fresh,
		kicks: make(chan struct{}, 1), finished: make(chan struct{}), closed: make(chan struct{}),
	}
	for _, ch := range cfg.Send {
		s := &Sender{e: e, ch: ch, known: !cfg.Fresh, limit: wire.FirstRoundLimit, stopped: make(chan struct{})}
		s.ring.max = int(cfg.Window) //nolint:gosec // a constant of sess
		s.cond.L = &e.mu
		e.out = append(e.out, s)
	}
	for _, ch := range cfg.Recv {
		r := &Receiver{e: e, ch: ch}
		r.ring.max = int(cfg.Window) //nolint:gosec // a constant of sess
		r.cond.L = &e.mu
		e.in = append(e.in, r)
	}
	e.ctlOut.limit = wire.MaxCtlUnacked
	e.ctlIn.wake = make(chan struct{}, 1)
	e.guests.cond.L = &e.mu
	return e
}

// Out returns the sender of a channel named in EndpointConfig.Send.
func (e *Endpoint) Out(ch uint32) *Sender {
	i := slices.IndexFunc(e.out, func(s *Sender) bool { return s.ch == ch })
	return e.out[i]
}

// In returns the receiver of a channel named in EndpointConfig.Recv.
func (e *Endpoint) In(ch uint32) *Receiver {
	i := slices.IndexFunc(e.in, func(r *Receiver) bool { return r.ch == ch })
	return e.in[i]
}

// Finished is closed when nothing is left to do: at a client when it has consumed all output and the exit status, at an
// agent when the status is on record, a client has it or none will come, and everything sent is safe.
func (e *Endpoint) Finished() <-chan struct{} { return e.finished }

// Result returns how the process ended, once a client has been told.
func (e *Endpoint) Result() (wire.Exit, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.result == nil {
		return wire.Exit{}, false
	}
	return *e.result, true
}

// Missing returns how many bytes of ch a client has not got though the agent sent them, when the exit status is known:
// for an honest message where the session can't go on.
func (e *Endpoint) Missing(ch uint32) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.result == nil {
		return 0
	}
	for _, f := range e.result.Finals {
		if f.Channel == ch {
			return f.Offset - min(f.Offset, e.in[slices.IndexFunc(e.in, func(r *Receiver) bool { return r.ch == ch })].ring.base)
		}
	}
	return 0
}

// Exit is called by an agent when the process has ended and all its streams are closed: it sends the status behind the
// last byte and states it until it is on record.
func (e *Endpoint) Exit(x sess.Exit) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.exit != nil {
		return nil
	}
	full := wire.Exit{Exit: x}
	for _, s := range e.out {
		if !s.fin {
			return fmt.Errorf("exit while channel %d is open", s.ch)
		}
		full.Finals = append(full.Finals, wire.Final{Channel: s.ch, Offset: s.end()})
	}
	if len(full.Message) > 1024 {
		full.Message = full.Message[:1024]
	}
	b, err := json.Marshal(full)
	if err != nil {
		return fmt.Errorf("encode exit: %w", err)
	}
	if err := e.queueCtl(wire.CtlExit, full); err != nil {
		return err
	}
	e.exit, e.sayExit = b, true
	e.exitTimer = time.AfterFunc(exitRepeat, e.repeatExit)
	e.kick()
	return nil
}

func (e *Endpoint) repeatExit() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.exitOK || e.err != nil {
		return
	}
	e.sayExit = true
	e.exitTimer.Reset(exitRepeat)
	e.kick()
}

// Forget tells an agent's endpoint that the server needs nothing more of it: the session is over for everyone.
func (e *Endpoint) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.finish()
}

// finish closes finished; the caller holds mu.
func (e *Endpoint) finish() {
	if !e.isFinished {
		e.isFinished = true
		close(e.finished)
	}
}

// checkFinished looks whether the end is reached; the caller holds mu.
func (e *Endpoint) checkFinished() {
	if e.isFinished {
		return
	}
	if e.cfg.Side == sess.SideAgent {
		if !e.exitOK || !e.done || e.ctlOut.base != e.ctlOut.have() {
			return
		}
		for _, s := range e.out {
			if s.ring.base != s.ring.end && !s.finFreed {
				return
			}
		}
		e.finish()
		return
	}
	if e.result == nil {
		return
	}
	for _, f := range e.result.Finals {
		i := slices.IndexFunc(e.in, func(r *Receiver) bool { return r.ch == f.Channel })
		if i >= 0 && e.in[i].consumed() < f.Offset {
			return
		}
	}
	e.sayDone = true
	e.finish()
	e.kick()
}

// Close gives up: everything that waits on the endpoint returns err.
func (e *Endpoint) Close(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fail(err)
}

// fail closes the endpoint; the caller holds mu.
func (e *Endpoint) fail(err error) {
	if e.err != nil {
		return
	}
	if err == nil {
		err = context.Canceled
	}
	e.err = err
	close(e.closed)
	if e.credits != nil {
		e.credits.Stop()
	}
	if e.exitTimer != nil {
		e.exitTimer.Stop()
	}
	for _, s := range e.out {
		s.cond.Broadcast()
	}
	for _, r := range e.in {
		r.cond.Broadcast()
	}
	e.guests.cond.Broadcast()
	if e.conn != nil {
		e.conn.Close()
	}
}

// kick has the writer goroutine look for something to send. It never blocks.
func (e *Endpoint) kick() {
	e.dirty.Store(true)
	select {
	case e.kicks <- struct{}{}:
	default:
	}
}

// String describes where the endpoint stands, for logs of what went wrong.
func (e *Endpoint) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := fmt.Sprintf("epoch %d round %d connected %v going %v exit_ok %v done %v finished %v result %v err %v", e.epoch, e.round, e.conn != nil, e.going, e.exitOK, e.done, e.isFinished, e.result != nil, e.err)
	s += fmt.Sprintf("; ctl out %d/%d/%d limit %d in %d/%d", e.ctlOut.base, e.ctlOut.next, e.ctlOut.have(), e.ctlOut.limit, e.ctlIn.cons, e.ctlIn.recv)
	for _, o := range e.out {
		s += fmt.Sprintf("; out %d: base %d next %d sent %d end %d limit %d fin %v", o.ch, o.ring.base, o.next, o.sent, o.end(), o.limit, o.fin)
	}
	for _, i := range e.in {
		s += fmt.Sprintf("; in %d: cons %d recv %d fin %v", i.ch, i.consumed(), i.received(), i.fin)
	}
	return s
}
