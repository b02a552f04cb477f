package broker_test

import (
	"crypto/ed25519"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// pipe is a control link in memory. It is two ends of two queues.
type pipe struct {
	in, out chan wire.Control
	gone    chan struct{}
	once    *sync.Once
}

func newPipe() (server, agent *pipe) {
	a, b := make(chan wire.Control, 100), make(chan wire.Control, 100)
	gone, once := make(chan struct{}), &sync.Once{}
	return &pipe{in: a, out: b, gone: gone, once: once}, &pipe{in: b, out: a, gone: gone, once: once}
}

func (p *pipe) ReadControl() (wire.Control, error) {
	select { // what arrived before the end is read first
	case c := <-p.in:
		return c, nil
	default:
	}
	select {
	case c := <-p.in:
		return c, nil
	case <-p.gone:
		select {
		case c := <-p.in:
			return c, nil
		default:
			return wire.Control{}, io.EOF
		}
	}
}

func (p *pipe) WriteControl(c wire.Control) error {
	select {
	case <-p.gone:
		return io.ErrClosedPipe
	case p.out <- c:
		return nil
	}
}

func (p *pipe) Close() { p.once.Do(func() { close(p.gone) }) }

// agent is an agent's end of a control link.
type agent struct {
	t     testing.TB
	w     *world
	conn  broker.ControlConn
	nonce string
	done  chan error // what ServeAgent returned
}

// hello is what an agent says first; change it before it is signed.
type hello func(*wire.AgentHello)

func lists(ids ...sess.SessionID) hello { return func(h *wire.AgentHello) { h.Sessions = ids } }
func boot(id sess.BootID) hello         { return func(h *wire.AgentHello) { h.Boot = id } }

// dial connects the agent of web-1 and sends a hello; the answer is still to be read.
func (w *world) dial(changes ...hello) *agent {
	w.t.Helper()
	server, conn := newPipe()
	a := &agent{t: w.t, w: w, conn: conn, done: make(chan error, 1)}
	s := w.Service
	go func() { a.done <- s.ServeAgent(w.t.Context(), server, addr) }()
	w.t.Cleanup(a.close)
	a.hello(changes...)
	return a
}

// hello answers the challenge.
func (a *agent) hello(changes ...hello) {
	a.t.Helper()
	w := a.w
	a.nonce = a.want(wire.ControlChallenge).Nonce
	h := wire.AgentHello{Instance: w.instance, Boot: "boo_1", Version: "test", Protocol: wire.Version, Host: wire.Host{Hostname: "web-1.local", OS: "linux"}}
	for _, c := range changes {
		c(&h)
	}
	if h.Signature == nil {
		h.Signature = ed25519.Sign(w.agentKey, wire.SignedMessage(wire.PurposeAgentHello, []byte(a.nonce), []byte(serverName)))
	}
	a.send(wire.Control{T: wire.ControlHello, Hello: &h})
}

// connect is dial and the welcome.
func (w *world) connect(changes ...hello) *agent {
	w.t.Helper()
	a := w.dial(changes...)
	if c := a.want(wire.ControlWelcome); c.Name != "web-1" {
		w.t.Fatalf("welcome, %q", c.Name)
	}
	w.eventually("online", w.online)
	return a
}

// settled waits until the server is done with what connecting entails: what starts from here on is offered by Start alone.
func (a *agent) settled() *agent {
	a.t.Helper()
	a.send(wire.Control{T: wire.ControlWant, Session: "ses_none"})
	a.want(wire.ControlEnded)
	return a
}

// online reports whether the server holds a link of web-1.
func (w *world) online() bool { return broker.Online(w.Service, w.instance) }

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	t := time.NewTicker(2 * time.Millisecond)
	defer t.Stop()
	late := time.After(5 * time.Second)
	for !ok() {
		select {
		case <-t.C:
		case <-late:
			w.t.Fatalf("not %s in 5 s", what)
		}
	}
}

func (a *agent) send(c wire.Control) {
	a.t.Helper()
	if err := a.conn.WriteControl(c); err != nil {
		a.t.Fatalf("agent sends %s: %v", c.T, err)
	}
}

// want reads the next message, which has to be of this type.
func (a *agent) want(typ string) wire.Control {
	a.t.Helper()
	c, err := a.read()
	if err != nil || c.T != typ {
		a.t.Fatalf("agent reads %+v, %v, want %s", c, err, typ)
	}
	return c
}

func (a *agent) read() (wire.Control, error) {
	type result struct {
		c   wire.Control
		err error
	}
	got := make(chan result, 1)
	go func() {
		c, err := a.conn.ReadControl()
		got <- result{c, err}
	}()
	select {
	case r := <-got:
		return r.c, r.err
	case <-time.After(5 * time.Second):
		a.conn.Close()
		<-got
		return wire.Control{}, errors.New("nothing came in 5 s")
	}
}

// close ends the link and waits until the server knows.
func (a *agent) close() {
	a.conn.Close()
	select {
	case err := <-a.done:
		a.done <- err
	case <-time.After(5 * time.Second):
		a.t.Error("ServeAgent did not return")
	}
}
