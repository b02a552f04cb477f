package link

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Run drives one connection until it breaks or the session is over. It owns c and closes it. The result is
//
//	nil            the endpoint is finished (and a client's done is sent)
//	*EndError      the session is over; ErrSuperseded: for this client
//	ErrMoved       ask the API where the session is, and join there
//	anything else  the connection is lost: join again with a fresh ticket and Run that one
//
// Order on a connection: hello (at once on the first, else when asked), go, then everything; see wire/PROTOCOL.md.
func (e *Endpoint) Run(ctx context.Context, c *Conn) error {
	if err := e.attach(c); err != nil {
		c.Close()
		return err
	}
	stop := context.AfterFunc(ctx, c.Close)
	writer := make(chan struct{})
	gone := make(chan struct{})
	go func() { // the writer goroutine: ends with this Run
		defer close(writer)
		e.flush()
		finished := e.finished
		for {
			select {
			case <-e.kicks:
				e.flush()
			case <-finished:
				finished = nil
				e.flush() // a client's done
				if e.cfg.Side == sess.SideAgent {
					c.Close()
				} else {
					defer time.AfterFunc(doneWait, c.Close).Stop() // the relay closes when the status is on record
				}
			case <-gone:
				return
			}
		}
	}()
	err := e.read(c)
	stop()
	c.Close()
	close(gone)
	<-writer
	return e.detach(ctx, c, err)
}

// attach makes c the connection.
func (e *Endpoint) attach(c *Conn) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return e.err
	}
	e.conn, e.going, e.needHello = c, false, false
	if e.first {
		e.first = false
		if !e.fresh && e.cfg.Participant == 0 { // round 0: everything stands at 0, so hello and the first bytes go out at once
			e.needHello, e.going = true, true
		}
	}
	return nil
}

// detach forgets c and says what its end means.
func (e *Endpoint) detach(ctx context.Context, c *Conn, err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.conn == c {
		e.conn, e.going = nil, false
	}
	var end *EndError
	var pe *protocolError
	switch {
	case errors.As(err, &end), errors.Is(err, sess.ErrSuperseded), errors.Is(err, ErrGap):
		if e.isFinished {
			return nil // it had everything: that is how it ended
		}
		e.fail(err)
		return err
	case e.isFinished:
		return nil
	case e.err != nil:
		return e.err
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &pe):
		if e.progress != e.seenProgress {
			e.misfires, e.seenProgress = 0, e.progress
		}
		if e.misfires++; e.misfires >= roundPatience {
			err = &EndError{wire.EndFrame{Reason: sess.EndProtocol, Message: err.Error()}}
			e.fail(err)
		}
	}
	return err
}

// read takes frames in until the connection ends.
func (e *Endpoint) read(c *Conn) error {
	for {
		h, p, err := c.Read()
		if err != nil {
			return err
		}
		if err := e.handle(c, h, p); err != nil {
			var pe *protocolError
			if errors.As(err, &pe) {
				b, _ := json.Marshal(wire.ErrorFrame{Code: sess.CodeInvalid, Message: err.Error()})
				_ = c.Write(wire.Header{Type: wire.Error}, b)
			}
			return err
		}
	}
}

// handle acts on one frame.
func (e *Endpoint) handle(c *Conn, h wire.Header, p []byte) error {
	switch h.Type {
	case wire.Beat:
		return nil
	case wire.Notice:
		if e.cfg.OnNotice != nil && len(p) <= wire.MaxNotice {
			e.cfg.OnNotice(string(p))
		}
		return nil
	case wire.Away:
		e.peer(false)
		return nil
	case wire.End:
		var f wire.EndFrame
		if err := json.Unmarshal(p, &f); err != nil {
			return errPayload("end", err)
		}
		return &EndError{f}
	case wire.Moved:
		return ErrMoved
	case wire.Error:
		var f wire.ErrorFrame
		if err := json.Unmarshal(p, &f); err != nil {
			return errPayload("error", err)
		}
		if f.Code == sess.CodeSuperseded {
			return ErrSuperseded
		}
		return &protocolError{f.Message}
	default: // about the streams
	}
	if e.cfg.Show != nil && (h.Type == wire.Data || h.Type == wire.Screen || h.Type == wire.Size) {
		return e.cfg.Show(h, p)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.conn != c {
		return errors.New("the connection was replaced")
	}
	return e.handleLocked(h, p)
}

// handleLocked acts on the frames that touch the streams' state; the caller holds mu.
func (e *Endpoint) handleLocked(h wire.Header, p []byte) error {
	switch h.Type {
	case wire.Data:
		if e.fresh {
			return nil // sent before our hello was read: it comes again
		}
		if h.Participant != 0 {
			return e.guestData(h, p)
		}
		for _, r := range e.in {
			if r.ch == h.Channel {
				return r.recv(h, p)
			}
		}
		return &protocolError{"data on a channel that is not open"}
	case wire.Ctl:
		if e.fresh {
			return nil
		}
		return e.recvCtl(h.Offset, p)
	case wire.Credit:
		return e.handleCredit(p)
	case wire.Ask:
		a, err := wire.DecodeAsk(p)
		if err != nil {
			return err
		}
		e.epoch, e.round = a.Epoch, uint64(a.Round)
		e.going, e.needHello = false, true
		e.kick()
		e.peerLocked(a.PeerHere)
	case wire.Go:
		return e.handleGo(p)
	case wire.Screen:
		for _, r := range e.in {
			if r.ch == wire.ChannelMain {
				r.jumps++
				r.ring.jump(r.ring.end)
				r.screen = append(r.screen, p...)
				r.cond.Signal()
			}
		}
	case wire.ExitOK:
		e.exitOK = true
		e.checkFinished()
	case wire.Done:
		e.done = true
		e.checkFinished()
	default: // handle has acted on them, or they are not for an end
	}
	return nil
}

// handleCredit takes credits in; the caller holds mu.
func (e *Endpoint) handleCredit(p []byte) error {
	var list [8]wire.StreamCredit
	cs, err := wire.DecodeCredit(p, list[:0])
	if err != nil {
		return err
	}
	for _, c := range cs {
		if c.Channel == wire.ChannelCtl {
			if c.Consumed > e.ctlOut.sent {
				return errLimit("credit of ctl", c.Consumed, e.ctlOut.sent)
			}
			e.ctlOut.free(c.Consumed)
			e.ctlOut.next = max(e.ctlOut.next, c.Consumed)
			e.ctlOut.limit = max(e.ctlOut.limit, c.Limit)
			continue
		}
		for _, s := range e.out {
			if s.ch != c.Channel {
				continue
			}
			if c.Consumed > s.sent {
				return errLimit("credit", c.Consumed, s.sent)
			}
			s.free(c.Consumed)
			s.limit = max(s.limit, c.Limit)
		}
	}
	e.checkFinished()
	e.kick()
	return nil
}

// handleGo continues after a round; the caller holds mu.
func (e *Endpoint) handleGo(p []byte) error {
	g, err := wire.DecodeGo(p)
	if err != nil {
		return err
	}
	if g.Epoch != e.epoch || g.Round != e.round {
		return nil // of a round that is over
	}
	for _, sg := range g.Send {
		if err := e.sendGo(sg); err != nil {
			return err
		}
	}
	for _, rg := range g.Recv {
		if rg.Channel == wire.ChannelCtl {
			if e.fresh {
				e.ctlIn.recv, e.ctlIn.cons = rg.Start, rg.Start
			}
			continue
		}
		for _, r := range e.in {
			if r.ch != rg.Channel {
				continue
			}
			if n := r.start(rg.Start, e.fresh); n > 0 && !e.fresh && e.cfg.OnGap != nil {
				e.cfg.OnGap(r.ch, n)
			}
		}
	}
	if g.PeerHere {
		e.resized()
		e.fresh = false
	}
	e.going, e.due = true, true // credits sent before this go were dropped: say them again
	e.sayExit = e.sayExit || e.exit != nil && !e.exitOK
	e.sayDone = e.sayDone || e.isFinished && e.cfg.Side == sess.SideClient
	e.peerLocked(g.PeerHere)
	e.kick()
	return nil
}

// sendGo continues one stream; the caller holds mu.
func (e *Endpoint) sendGo(g wire.SendGo) error {
	if g.Channel == wire.ChannelCtl {
		c := &e.ctlOut
		if e.fresh {
			c.base, c.sent = g.From, g.From
		}
		if g.Free > c.have() || g.From > c.have() {
			return errLimit("go of ctl", max(g.Free, g.From), c.have())
		}
		c.free(g.Free)
		c.next = max(g.From, c.base)
		if g.Limit != 0 {
			c.limit = g.Limit
		}
		return nil
	}
	for _, s := range e.out {
		if s.ch != g.Channel {
			continue
		}
		if e.fresh && !s.known {
			s.ring.jump(g.From)
			s.known, s.sent = true, g.From
		}
		if g.Free > s.end() || g.From > s.end() {
			return errLimit("go", max(g.Free, g.From), s.end())
		}
		s.next = g.From
		s.free(g.Free)
		s.next = max(s.next, s.ring.base)
		if g.Limit != 0 {
			s.limit = g.Limit
		}
		s.cond.Broadcast()
	}
	return nil
}

func (e *Endpoint) peer(here bool) {
	e.mu.Lock()
	e.peerLocked(here)
	e.mu.Unlock()
}

// peerLocked tells about the other side's coming and going; the caller holds mu.
func (e *Endpoint) peerLocked(here bool) {
	if e.cfg.OnPeer != nil {
		e.cfg.OnPeer(here)
	}
}

// Detach tells the relay that this client leaves on purpose, then closes the connection: the session runs on at once
// instead of waiting for it.
func (e *Endpoint) Detach() {
	e.mu.Lock()
	c := e.conn
	e.mu.Unlock()
	if c != nil {
		_ = c.Write(wire.Header{Type: wire.Away}, nil)
	}
	e.Close(ErrDetached)
}

// ErrDetached is what everything returns after Detach.
var ErrDetached = errors.New("detached")
