package link

import (
	"errors"
	"io"
	"sync"
)

// Sender is the sending end of one stream. One goroutine writes to it.
type Sender struct {
	e       *Endpoint
	ch      uint32
	stopped chan struct{}

	// Protected by e.mu.
	cond     sync.Cond
	ring     ring   // [base, have): what may have to be sent again, and what was not sent yet
	next     uint64 // the next offset to send
	sent     uint64 // the highest offset ever sent
	limit    uint64 // the receiver's and recorder's limit
	known    bool   // offsets are known: not so for a fresh client before its first go
	fin      bool   // closed: FIN takes the offset ring.end
	finFreed bool   // the FIN is consumed
	quit     bool   // the other side wants no more
}

// end is the offset behind everything, the FIN included.
func (s *Sender) end() uint64 {
	if s.fin {
		return s.ring.end + 1
	}
	return s.ring.end
}

// Stopped is closed when the other side wants no more of this stream.
func (s *Sender) Stopped() <-chan struct{} { return s.stopped }

// wait blocks until there is room for a byte; the caller holds mu.
func (s *Sender) wait() error {
	for {
		switch {
		case s.e.err != nil:
			return s.e.err
		case s.quit:
			return ErrStopped
		case s.fin:
			return io.ErrClosedPipe
		case s.known && s.ring.room() > 0:
			return nil
		}
		s.cond.Wait()
	}
}

// Write queues p and sends what the window allows. It blocks while the window is full, over any number of reconnects.
func (s *Sender) Write(p []byte) (int, error) {
	total := 0
	for len(p) > 0 {
		s.e.mu.Lock()
		if err := s.wait(); err != nil {
			s.e.mu.Unlock()
			return total, err
		}
		n := s.ring.write(p)
		s.e.mu.Unlock()
		p = p[n:]
		total += n
		s.e.flush()
	}
	return total, nil
}

// readChunk is how much ReadFrom asks its reader for at once: four frames.
const readChunk = 128 << 10

// bulkRead is the size from which on a read is not a keystroke's echo.
const bulkRead = 2 << 10

// ReadFrom sends everything r gives until EOF, reading straight into the stream's buffer. Like io.Copy it does not close
// the stream, and EOF is no error.
func (s *Sender) ReadFrom(r io.Reader) (int64, error) {
	var total int64
	for {
		s.e.mu.Lock()
		if err := s.wait(); err != nil {
			s.e.mu.Unlock()
			return total, err
		}
		space := s.ring.reserve(readChunk)
		s.ring.held = true
		s.e.mu.Unlock()
		n, err := r.Read(space)
		s.e.mu.Lock()
		s.ring.held = false
		if !s.quit {
			s.ring.commit(n)
		}
		s.e.mu.Unlock()
		total += int64(n)
		if n >= bulkRead {
			s.e.kick() // while the writer goroutine sends, more is read: frames fill up by themselves
		} else if n > 0 {
			s.e.flush()
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// CloseWrite ends the stream: the other side reads EOF behind the last byte.
func (s *Sender) CloseWrite() {
	s.e.mu.Lock()
	s.fin = true
	s.cond.Broadcast()
	s.e.mu.Unlock()
	s.e.flush()
}

// stop forgets what was never sent; the caller holds mu.
func (s *Sender) stop() {
	if s.quit {
		return
	}
	s.quit = true
	close(s.stopped)
	if !s.fin {
		s.ring.end = max(s.sent, s.ring.base)
	}
	s.cond.Broadcast()
}

// free forgets what is consumed; the caller holds mu.
func (s *Sender) free(to uint64) {
	if s.fin && to > s.ring.end {
		s.finFreed = true
	}
	if to > s.ring.base {
		s.e.progress += min(to, s.ring.end) - s.ring.base
	}
	s.ring.free(to)
	s.next = max(s.next, min(to, s.end()))
	s.cond.Broadcast()
}

// pending reports whether a frame could be sent now; the caller holds mu.
func (s *Sender) pending() bool {
	if !s.known || s.finFreed {
		return false
	}
	return s.next < min(s.ring.end, s.limit) || s.fin && s.next == s.ring.end
}
