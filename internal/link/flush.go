package link

import (
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// flush sends what may be sent now. It may block in the socket. When somebody else is sending already, that one is told
// to look again, and flush returns at once.
func (e *Endpoint) flush() {
	e.dirty.Store(true)
	for e.dirty.Load() && e.fmu.TryLock() {
		for e.dirty.Swap(false) {
			for e.sendOne() {
			}
		}
		e.fmu.Unlock()
	}
}

// sendOne sends the frame that is most urgent and reports whether there was one. The order: hello, credit, ctl, the exit
// statement, done, data.
func (e *Endpoint) sendOne() bool {
	e.mu.Lock()
	c := e.conn
	if c == nil || e.err != nil {
		e.mu.Unlock()
		return false
	}
	if e.scratch == nil {
		e.scratch = make([]byte, 0, wire.MaxFrame)
	}
	frame := e.nextFrame(e.scratch[:wire.HeaderSize])
	e.mu.Unlock()
	if frame == nil {
		return false
	}
	// A write that fails has closed the connection: Run's reader sees that and returns.
	return c.WriteFrame(frame) == nil
}

// nextFrame builds the next frame in b, whose first HeaderSize bytes are for the header, or returns nil; the caller
// holds mu.
func (e *Endpoint) nextFrame(b []byte) []byte {
	h := wire.Header{}
	switch {
	case e.needHello:
		e.needHello = false
		h.Type = wire.Hello
		b = wire.AppendHello(b, e.hello())
	case !e.going:
		return nil
	case e.due:
		e.due = false
		h.Type = wire.Credit
		b = e.appendCredits(b)
	case e.ctlOut.next < min(e.ctlOut.have(), e.ctlOut.limit):
		h.Type, h.Offset = wire.Ctl, e.ctlOut.next
		b = append(b, e.ctlOut.msgs[e.ctlOut.next-e.ctlOut.base]...)
		e.ctlOut.next++
		e.ctlOut.sent = max(e.ctlOut.sent, e.ctlOut.next)
	case e.sayDone:
		e.sayDone = false
		h.Type = wire.Done
	default:
		return e.nextData(b)
	}
	h.Put(b)
	return b
}

// nextData builds a data frame of the next stream whose turn it is. The exit statement goes behind all data.
func (e *Endpoint) nextData(b []byte) []byte {
	for i := range e.out {
		s := e.out[(e.turn+i)%len(e.out)]
		if !s.pending() {
			continue
		}
		e.turn = (e.turn + i + 1) % len(e.out)
		h := wire.Header{Type: wire.Data, Channel: s.ch, Participant: e.cfg.Participant, Offset: s.next}
		n := min(dataChunk, int(min(s.ring.end, s.limit)-s.next)) //nolint:gosec // at most the window
		if s.next < s.ring.end {
			b = b[:wire.HeaderSize+s.ring.copyTo(b[wire.HeaderSize:wire.HeaderSize+n], s.next)]
			s.next += uint64(n) //nolint:gosec // n ≥ 0
		}
		if s.fin && s.next == s.ring.end {
			h.Flags = wire.FlagFIN
			s.next++
		}
		s.sent = max(s.sent, s.next)
		h.Put(b)
		return b
	}
	if e.sayExit {
		e.sayExit = false
		wire.Header{Type: wire.ExitStatement}.Put(b)
		return append(b, e.exit...)
	}
	return nil
}

// hello says where this end stands; the caller holds mu.
func (e *Endpoint) hello() wire.HelloFrame {
	h := wire.HelloFrame{
		Epoch: e.epoch, Round: e.round, Version: wire.Version, Fresh: e.fresh, Done: e.done, Boot: string(e.cfg.Boot),
	}
	if e.exit != nil && !e.exitOK {
		h.Exit = e.exit
	}
	if e.cfg.Size != nil {
		h.Cols, h.Rows = e.cfg.Size()
		e.lastSize = wire.Resize{Cols: h.Cols, Rows: h.Rows}
	}
	if e.cfg.Participant != 0 {
		return e.guestHello(h)
	}
	h.Recv = append(h.Recv, wire.RecvState{Recv: e.ctlIn.recv, Consumed: e.ctlIn.cons, Limit: e.ctlIn.limit()})
	for _, r := range e.in {
		h.Recv = append(h.Recv, wire.RecvState{
			StreamID: wire.StreamID{Channel: r.ch}, Recv: r.received(), Consumed: r.consumed(), Limit: r.limit(),
		})
	}
	h.Recv = e.guests.states(h.Recv)
	h.Send = append(h.Send, wire.SendState{Base: e.ctlOut.base, Have: e.ctlOut.have()})
	for _, s := range e.out {
		base := s.ring.base
		if s.finFreed {
			base = s.end()
		}
		h.Send = append(h.Send, wire.SendState{StreamID: wire.StreamID{Channel: s.ch}, Base: base, Have: s.end()})
	}
	return h
}

// appendCredits states every stream's credit: absolute, so more often than needed does no harm; the caller holds mu.
func (e *Endpoint) appendCredits(b []byte) []byte {
	var list [8]wire.StreamCredit
	cs := append(list[:0], wire.StreamCredit{Consumed: e.ctlIn.cons, Limit: e.ctlIn.limit()})
	e.ctlIn.credited = e.ctlIn.cons
	for _, r := range e.in {
		cs = append(cs, wire.StreamCredit{StreamID: wire.StreamID{Channel: r.ch}, Consumed: r.consumed(), Limit: r.limit()})
		r.credited = r.ring.base
	}
	cs = e.guests.credits(cs)
	return wire.AppendCredit(b, cs...)
}

// creditDue has credits sent: at once when now is set, else within creditDelay; the caller holds mu and flushes or kicks
// afterwards.
func (e *Endpoint) creditDue(now bool) {
	if now {
		e.due = true
		e.kick()
		return
	}
	if e.waiting || e.due || e.err != nil {
		return
	}
	e.waiting = true
	if e.credits == nil {
		e.credits = time.AfterFunc(creditDelay, e.creditLate)
	} else {
		e.credits.Reset(creditDelay)
	}
}

func (e *Endpoint) creditLate() {
	e.mu.Lock()
	e.waiting = false
	e.due = true
	e.mu.Unlock()
	e.kick()
}

// resized queues the terminal's size when it is not what the agent was told last; the caller holds mu.
func (e *Endpoint) resized() {
	if e.cfg.Side != sess.SideClient || e.cfg.Size == nil {
		return
	}
	cols, rows := e.cfg.Size()
	now := wire.Resize{Cols: cols, Rows: rows}
	if cols == 0 || now == e.lastSize && !e.fresh {
		return
	}
	e.lastSize = now
	_ = e.queueCtl(wire.CtlResize, now)
}

// Resize tells the agent the terminal's size, if it changed.
func (e *Endpoint) Resize() {
	e.mu.Lock()
	e.resized()
	e.mu.Unlock()
	e.flush()
}
