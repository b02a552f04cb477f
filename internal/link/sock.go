package link

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// sock is a network connection that hands a WebSocket frame to the layer below in one Write (the WebSocket library
// writes header and masked payload in pieces of 4 KiB, each of which would become a TLS record and a system call), and
// counts reads and writes, for the heartbeat.
type sock struct {
	rwc    io.ReadWriteCloser // what the WebSocket reads and writes
	conn   net.Conn           // the connection below it, for deadlines and addresses
	reads  atomic.Uint64
	writes atomic.Uint64

	mu sync.Mutex // protects the following
	// held collects what is written between cork and uncork; nil when not corked. It comes from a pool, so that an idle
	// connection holds no buffer.
	held *[]byte
}

// corkSize holds a frame of the largest size with its WebSocket header.
const corkSize = 33 << 10

var corks = sync.Pool{New: func() any { b := make([]byte, 0, corkSize); return &b }}

// Read implements net.Conn. Any byte received is life.
func (s *sock) Read(p []byte) (int, error) {
	n, err := s.rwc.Read(p)
	if n > 0 {
		s.reads.Add(1)
	}
	return n, err
}

// Write implements net.Conn.
func (s *sock) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.writes.Add(1)
		return s.rwc.Write(p)
	}
	if len(*s.held)+len(p) > corkSize {
		if err := s.flush(); err != nil {
			return 0, err
		}
	}
	if len(p) > corkSize {
		return s.rwc.Write(p)
	}
	*s.held = append(*s.held, p...)
	return len(p), nil
}

// Close implements io.Closer.
func (s *sock) Close() error { return s.rwc.Close() }

// cork begins to collect what is written.
func (s *sock) cork() {
	s.mu.Lock()
	if s.held == nil {
		s.held = corks.Get().(*[]byte)
	}
	s.mu.Unlock()
}

// uncork writes what was collected.
func (s *sock) uncork() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		return nil
	}
	err := s.flush()
	*s.held = (*s.held)[:0]
	corks.Put(s.held)
	s.held = nil
	return err
}

func (s *sock) flush() error {
	if len(*s.held) == 0 {
		return nil
	}
	s.writes.Add(1)
	_, err := s.rwc.Write(*s.held)
	*s.held = (*s.held)[:0]
	return err
}

// tick is how often a connection looks at itself. A connection that wrote nothing for a tick sends a beat, so that the
// gap between two writes stays under two ticks; a peer that was silent for deadTicks while a read was pending is dead.
// So beats come every 7.5 to 15 s (NATs drop idle connections at 60 s), and a dead peer is known within 30 s.
const (
	tick      = 7500 * time.Millisecond
	deadTicks = 3
	// askTimeout bounds the wait for the answer to Ask.
	askTimeout = tick
)
