package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/sessctl/sess/internal/wire"
)

// ErrDead says that nothing came from the peer for about 30 s.
var ErrDead = errors.New("nothing heard from the other side for 30 s")

// Conn is one WebSocket that carries frames of wire (a session's stream) or control messages (an agent's control link).
// One goroutine may read while others write. It keeps itself alive with beats and closes itself when the peer is dead.
type Conn struct {
	ws      *websocket.Conn
	sock    *sock
	control bool

	wmu sync.Mutex // one frame at a time

	reading atomic.Bool // a read is pending
	asking  atomic.Bool // an answer to Ask is awaited
	dead    atomic.Bool

	tmu   sync.Mutex // protects the following
	timer *time.Timer
	ticks heart
	done  bool

	buf []byte // of the reader
}

// heart is what the last tick saw.
type heart struct {
	reads, writes uint64
	silent        int
}

var beatFrame = func() []byte {
	b := make([]byte, wire.HeaderSize)
	wire.Header{Type: wire.Beat}.Put(b)
	return b
}()

func newConn(ws *websocket.Conn, s *sock, subprotocol string) *Conn {
	c := &Conn{ws: ws, sock: s, control: subprotocol == wire.ControlSubprotocol}
	limit := int64(wire.MaxFrame)
	if c.control {
		limit = wire.MaxControl
	}
	ws.SetReadLimit(limit)
	c.tmu.Lock()
	c.timer = time.AfterFunc(tick, c.beat)
	c.tmu.Unlock()
	return c
}

// beat runs every tick.
func (c *Conn) beat() {
	c.tmu.Lock()
	if c.done {
		c.tmu.Unlock()
		return
	}
	last := c.ticks
	now := heart{reads: c.sock.reads.Load(), writes: c.sock.writes.Load()}
	if now.reads == last.reads && c.reading.Load() {
		now.silent = last.silent + 1
	}
	c.ticks = now
	c.timer.Reset(tick)
	c.tmu.Unlock()

	if now.silent >= deadTicks {
		c.dead.Store(true)
		c.Close()
		return
	}
	// A write under way needs no beat beside it, and waiting for one here would pile up goroutines.
	if now.writes == last.writes && c.wmu.TryLock() {
		if c.control {
			_ = c.write(websocket.MessageText, []byte(`{"t":"beat"}`))
		} else {
			_ = c.write(websocket.MessageBinary, beatFrame)
		}
		c.wmu.Unlock()
	}
}

// Read returns the next frame. The payload is valid until the next Read. Beats and frames to be skipped by rule are
// returned too: the caller ignores what it does not act on.
func (c *Conn) Read() (wire.Header, []byte, error) {
	frame, err := c.ReadFrame()
	if err != nil {
		return wire.Header{}, nil, err
	}
	return wire.Decode(frame)
}

// ReadFrame returns the next frame undecoded, for a relay that forwards it unchanged. It is valid until the next read.
//
//nolint:contextcheck // a context that ends would close the connection: Close ends reads and writes
func (c *Conn) ReadFrame() ([]byte, error) {
	if c.buf == nil {
		c.buf = make([]byte, wire.MaxFrame+1)
	}
	c.reading.Store(true)
	defer c.reading.Store(false)
	typ, r, err := c.ws.Reader(context.Background()) //nolint:forbidigo // see ReadFrame
	if err != nil {
		return nil, c.explain(err)
	}
	if typ != websocket.MessageBinary {
		return nil, fmt.Errorf("%w: a text message on a stream", wire.ErrPayload)
	}
	n := 0
	for n < len(c.buf) {
		k, err := r.Read(c.buf[n:])
		n += k
		if errors.Is(err, io.EOF) {
			return c.buf[:n], nil
		}
		if err != nil {
			return nil, c.explain(err)
		}
	}
	return nil, wire.ErrLong
}

// Write sends one frame.
func (c *Conn) Write(h wire.Header, payload []byte) error {
	frame := make([]byte, wire.HeaderSize+len(payload))
	h.Put(frame)
	copy(frame[wire.HeaderSize:], payload)
	return c.WriteFrame(frame)
}

// WriteFrame sends one encoded frame: the path that allocates nothing.
func (c *Conn) WriteFrame(frame []byte) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return c.write(websocket.MessageBinary, frame)
}

// write sends one message; the caller holds wmu. A write that fails closes the connection: half a frame may be out.
//
//nolint:contextcheck // see ReadFrame
func (c *Conn) write(typ websocket.MessageType, b []byte) error {
	c.sock.cork()
	err := c.ws.Write(context.Background(), typ, b) //nolint:forbidigo // see ReadFrame
	if ferr := c.sock.uncork(); err == nil {
		err = ferr
	}
	if err != nil {
		c.Close()
		return c.explain(err)
	}
	return nil
}

// ReadControl returns the next message of a control link that is no beat without a load.
//
//nolint:contextcheck // see ReadFrame
func (c *Conn) ReadControl() (wire.Control, error) {
	c.reading.Store(true)
	defer c.reading.Store(false)
	for {
		var m wire.Control
		_, r, err := c.ws.Reader(context.Background()) //nolint:forbidigo // see ReadFrame
		if err != nil {
			return m, c.explain(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return m, c.explain(err)
		}
		if err := json.Unmarshal(b, &m); err != nil {
			return m, fmt.Errorf("control message: %w", err)
		}
		if m.T != wire.ControlBeat || m.Load != nil {
			return m, nil
		}
	}
}

// WriteControl sends a message of a control link.
func (c *Conn) WriteControl(m wire.Control) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode control message: %w", err)
	}
	if len(b) > wire.MaxControl {
		return fmt.Errorf("control message %q is %d bytes, more than %d", m.T, len(b), wire.MaxControl)
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return c.write(websocket.MessageText, b)
}

// Close ends the connection at once. It may be called at any time and more than once.
func (c *Conn) Close() {
	c.tmu.Lock()
	first := !c.done
	c.done = true
	c.timer.Stop()
	c.tmu.Unlock()
	if first {
		_ = c.sock.conn.SetDeadline(time.Now()) // the library's close would wait for a write that is stuck in the socket
		_ = c.ws.CloseNow()
	}
}

// Drain reads and drops what still comes, until the peer closes or d has passed, and closes. It is for the side that has
// said its last frame: to close at once with bytes unread would reset the connection, and the peer might never see it.
func (c *Conn) Drain(d time.Duration) {
	c.SetReadDeadline(time.Now().Add(d))
	for {
		if _, err := c.ReadFrame(); err != nil {
			c.Close()
			return
		}
	}
}

// Heard counts how often something was read from the peer, inside TLS where there is TLS: beats and all.
func (c *Conn) Heard() uint64 { return c.sock.reads.Load() }

// Ask has the peer say something: its WebSocket answers a ping by itself, in any version. It does not wait for that; a read has to be pending.
//
//nolint:contextcheck // see ReadFrame
func (c *Conn) Ask() {
	if !c.asking.CompareAndSwap(false, true) {
		return
	}
	go func() { // ends with the answer, the connection or the time
		defer c.asking.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout) //nolint:forbidigo // see ReadFrame
		defer cancel()
		_ = c.ws.Ping(ctx) // what comes of it is seen by Heard
	}()
}

// SetReadDeadline makes pending and future reads fail at t; the zero time means never.
func (c *Conn) SetReadDeadline(t time.Time) { _ = c.sock.conn.SetReadDeadline(t) }

// RemoteAddr is the address of the other end of the TCP connection: a proxy's, where there is one.
func (c *Conn) RemoteAddr() net.Addr { return c.sock.conn.RemoteAddr() }

func (c *Conn) explain(err error) error {
	if c.dead.Load() {
		return ErrDead
	}
	return err
}
