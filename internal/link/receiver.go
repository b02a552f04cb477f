package link

import (
	"io"
	"sync"

	"github.com/sessctl/sess/internal/wire"
)

// Receiver is the receiving end of one stream. One goroutine reads from it. Its buffer has room for the whole window, so
// the connection is always read; consuming is what returns credit.
type Receiver struct {
	e  *Endpoint
	ch uint32

	// Protected by e.mu.
	cond     sync.Cond
	ring     ring // [cons, recv)
	screen   []byte
	fin      bool // the FIN came: it has the offset ring.end
	finTaken bool // and the reader knows
	stopped  bool // the reader wants no more
	reset    bool // the sender gave up
	jumps    int  // counts jumps, so that a view taken before one is not counted as consumed
	credited uint64
}

// consumed is the offset below which everything is consumed, the FIN included.
func (r *Receiver) consumed() uint64 {
	if r.finTaken || r.stopped && r.fin {
		return r.ring.end + 1
	}
	return r.ring.base
}

func (r *Receiver) received() uint64 {
	if r.fin {
		return r.ring.end + 1
	}
	return r.ring.end
}

func (r *Receiver) limit() uint64 { return r.consumed() + uint64(r.ring.max) } //nolint:gosec // a constant of sess

// wait blocks until there are bytes and returns a view of them and the count of jumps; the caller holds mu.
func (r *Receiver) wait(n int) ([]byte, int, error) {
	for {
		switch {
		case len(r.screen) > 0:
			return r.screen, -1, nil
		case r.ring.len() > 0:
			return r.ring.view(r.ring.base, n), r.jumps, nil
		case r.stopped:
			return nil, 0, io.ErrClosedPipe
		case r.fin:
			if !r.finTaken {
				r.finTaken = true
				r.e.creditDue(true)
				r.e.checkFinished()
			}
			return nil, 0, io.EOF
		case r.reset:
			return nil, 0, ErrReset
		case r.e.err != nil:
			return nil, 0, r.e.err
		}
		r.cond.Wait()
	}
}

// take marks n bytes of a view as consumed; the caller holds mu.
func (r *Receiver) take(n, jumps int) {
	if jumps < 0 {
		r.screen = r.screen[min(n, len(r.screen)):]
		return
	}
	if jumps != r.jumps {
		return
	}
	r.ring.free(r.ring.base + uint64(n))                          //nolint:gosec // n ≥ 0
	r.e.creditDue(r.ring.base-r.credited >= uint64(r.ring.max)/4) //nolint:gosec // a constant of sess
}

// Read consumes bytes: once it returns they are credited.
func (r *Receiver) Read(p []byte) (int, error) {
	r.e.mu.Lock()
	view, jumps, err := r.wait(len(p))
	if err != nil {
		r.e.mu.Unlock()
		r.e.flush()
		return 0, err
	}
	n := copy(p, view)
	r.take(n, jumps)
	r.e.mu.Unlock()
	r.e.flush()
	return n, nil
}

// writeChunk is how much WriteTo hands on at once.
const writeChunk = 64 << 10

// WriteTo hands everything to w, straight from the stream's buffer, until EOF. Bytes are consumed when w has taken them.
func (r *Receiver) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		r.e.mu.Lock()
		view, jumps, err := r.wait(writeChunk)
		r.e.mu.Unlock()
		if err != nil {
			r.e.flush()
			if err == io.EOF { //nolint:errorlint // wait returns it bare
				err = nil
			}
			return total, err
		}
		n, err := w.Write(view)
		total += int64(n)
		r.e.mu.Lock()
		r.take(n, jumps)
		r.e.mu.Unlock()
		r.e.flush()
		if err != nil {
			return total, err
		}
	}
}

// Stop says that no more of the stream is wanted: the sender is told and what still comes is dropped.
func (r *Receiver) Stop() {
	r.e.mu.Lock()
	if r.stopped {
		r.e.mu.Unlock()
		return
	}
	r.stopped = true
	if !r.fin && r.e.err == nil {
		_ = r.e.queueCtl(wire.CtlStop, wire.StreamRef{Channel: r.ch}) // when full, the sender learns by the window
	}
	r.ring.free(r.ring.end)
	r.cond.Broadcast()
	r.e.creditDue(true)
	r.e.checkFinished()
	r.e.mu.Unlock()
	r.e.flush()
}

// recv takes a data frame in; the caller holds mu.
func (r *Receiver) recv(h wire.Header, p []byte) error {
	end := wire.Span(h, p)
	got := r.received()
	switch {
	case h.Offset > got:
		return errGap("data", h.Offset, got)
	case end <= got:
		return nil
	case h.Offset+uint64(len(p)) > r.limit():
		return errLimit("data", end, r.limit())
	case r.fin:
		return errLimit("data behind the end", end, got)
	}
	p = p[got-h.Offset:]
	r.e.progress += end - got
	if r.stopped {
		r.ring.jump(r.ring.end + uint64(len(p)))
	} else {
		r.ring.write(p)
	}
	r.fin = h.FIN()
	if r.stopped {
		r.e.creditDue(r.fin || r.ring.base-r.credited >= uint64(r.ring.max)/4) //nolint:gosec // a constant of sess
		r.e.checkFinished()
	}
	if r.ring.room() == 0 {
		r.e.creditDue(false)
	}
	r.cond.Signal()
	return nil
}

// start is where the stream begins for this receiver after a go; the caller holds mu.
func (r *Receiver) start(at uint64, fresh bool) (skipped uint64) {
	if !fresh && at <= r.received() {
		return 0
	}
	skipped = at - r.ring.base
	r.jumps++
	r.ring.jump(at)
	r.credited = at
	return skipped
}
