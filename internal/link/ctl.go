package link

import (
	"context"
	"encoding/json"

	"github.com/sessctl/sess/internal/wire"
)

// ctlSender holds the control messages [base, base+len(msgs)) that are not credited yet.
type ctlSender struct {
	base, next, limit uint64
	sent              uint64 // highest offset ever sent
	msgs              [][]byte
}

func (c *ctlSender) have() uint64 { return c.base + uint64(len(c.msgs)) }

func (c *ctlSender) free(to uint64) {
	if to > c.base {
		n := min(to-c.base, uint64(len(c.msgs)))
		c.msgs = c.msgs[n:]
		c.base += n
		if len(c.msgs) == 0 {
			c.msgs = nil
		}
	}
}

// ctlReceiver queues control messages until RecvCtl takes them; taking is consuming.
type ctlReceiver struct {
	cons, recv uint64
	queue      [][]byte
	wake       chan struct{}
	credited   uint64
}

func (c *ctlReceiver) limit() uint64 { return c.cons + wire.MaxCtlUnacked }

// SendCtl queues a control message: sequenced, exactly once, also over reconnects. It does not wait for the network; it
// fails when 256 messages are waiting, so that a far end that takes none can't fill this one's memory.
func (e *Endpoint) SendCtl(kind wire.CtlKind, v any) error {
	e.mu.Lock()
	if e.err != nil {
		e.mu.Unlock()
		return e.err
	}
	err := e.queueCtl(kind, v)
	e.mu.Unlock()
	if err == nil {
		e.flush()
	}
	return err
}

func (e *Endpoint) queueCtl(kind wire.CtlKind, v any) error {
	if len(e.ctlOut.msgs) >= 2*wire.MaxCtlUnacked {
		return errCtlFull
	}
	b, err := wire.EncodeCtl(kind, v)
	if err != nil {
		return err
	}
	e.ctlOut.msgs = append(e.ctlOut.msgs, b)
	return nil
}

// RecvCtl returns the next control message that the endpoint does not handle itself: at an agent signals and resizes.
func (e *Endpoint) RecvCtl(ctx context.Context) (wire.CtlKind, json.RawMessage, error) {
	for {
		e.mu.Lock()
		if len(e.ctlIn.queue) > 0 {
			m := e.ctlIn.queue[0]
			e.ctlIn.queue = e.ctlIn.queue[1:]
			e.ctlIn.cons++
			e.creditDue(e.ctlIn.cons-e.ctlIn.credited >= wire.MaxCtlUnacked/4)
			e.mu.Unlock()
			return wire.DecodeCtl(m)
		}
		err := e.err
		e.mu.Unlock()
		if err != nil {
			return 0, nil, err
		}
		select {
		case <-e.ctlIn.wake:
		case <-e.closed:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
}

// recvCtl takes one ctl frame in; the caller holds mu.
func (e *Endpoint) recvCtl(off uint64, p []byte) error {
	c := &e.ctlIn
	switch {
	case off < c.recv:
		return nil
	case off > c.recv:
		return errGap("ctl", off, c.recv)
	case off >= c.limit():
		return errLimit("ctl", off+1, c.limit())
	}
	c.recv++
	e.progress++
	kind, body, err := wire.DecodeCtl(p)
	if err != nil {
		return err
	}
	handled, err := e.handleCtl(kind, body)
	if err != nil {
		return err
	}
	if handled && len(c.queue) == 0 {
		c.cons = c.recv
		e.creditDue(kind == wire.CtlExit || c.cons-c.credited >= wire.MaxCtlUnacked/4)
		return nil
	}
	if handled {
		c.queue = append(c.queue, []byte{byte(ctlNothing), '{', '}'}) // keeps the order of consumption
		return nil
	}
	c.queue = append(c.queue, append([]byte(nil), p...))
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return nil
}

// ctlNothing stands for a message that the endpoint has handled itself already; users skip kinds from 0x80 on.
const ctlNothing wire.CtlKind = 0xff

// handleCtl acts on the messages that are about streams and the end; the caller holds mu.
func (e *Endpoint) handleCtl(kind wire.CtlKind, body json.RawMessage) (bool, error) {
	switch kind {
	case wire.CtlExit:
		var x wire.Exit
		if err := json.Unmarshal(body, &x); err != nil {
			return true, errPayload("exit", err)
		}
		if e.result == nil {
			e.result = &x
			e.checkFinished()
		}
		return true, nil
	case wire.CtlStop, wire.CtlReset:
		var ref wire.StreamRef
		if err := json.Unmarshal(body, &ref); err != nil {
			return true, errPayload("stream reference", err)
		}
		if kind == wire.CtlStop {
			for _, s := range e.out {
				if s.ch == ref.Channel {
					s.stop()
				}
			}
		} else {
			for _, r := range e.in {
				if r.ch == ref.Channel {
					r.reset = true
					r.cond.Broadcast()
				}
			}
		}
		return true, nil
	default:
		return false, nil
	}
}
