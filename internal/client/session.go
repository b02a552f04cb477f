package client

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Session is one session that this process drives: made by Start or Attach, driven once by Exec or Terminal.
type Session struct {
	ID       sess.SessionID
	Kind     sess.Kind
	Instance string // its name
	Params   sess.Params
	Grace    time.Duration // how long it lives on without us

	client   *Client
	key      sessionKey
	first    api.Ticket
	encoded  []byte // the bytes that open the stream; nil after Attach
	endpoint *link.Endpoint
	size     func() (cols, rows uint16) // nil without a terminal
	peer     chan bool
	guest    uint16 // our number in the session; 0: it is ours

	// Set by the driver before run.
	ui    ui
	onGap func(n uint64) // n bytes of output were not kept for us

	mu   sync.Mutex // protects the following
	conn *link.Conn // the present connection
	url  string     // its stream's
	next *api.Ticket
}

func newSession(c *Client, key sessionKey, t api.Ticket, kind sess.Kind, p sess.Params, encoded []byte, size func() (cols, rows uint16)) *Session {
	s := &Session{
		ID: t.Session, Kind: kind, Instance: printable(t.Instance), Params: p, Grace: time.Duration(t.GraceMS) * time.Millisecond,
		client: c, key: key, first: t, encoded: encoded, size: size, peer: make(chan bool, 1),
	}
	window := uint64(sess.WindowBulk)
	if p.TTY {
		window = sess.WindowTerminal
	}
	recv := []uint32{wire.ChannelMain}
	if !p.TTY {
		recv = append(recv, wire.ChannelStderr)
	}
	send := []uint32{wire.ChannelMain, wire.ChannelParams}
	s.endpoint = link.NewEndpoint(link.EndpointConfig{
		Side: sess.SideClient, Session: t.Session, Send: send, Recv: recv, Window: window,
		Fresh: encoded == nil, Size: size, OnNotice: s.notice, OnPeer: s.onPeer,
		OnGap: func(_ uint32, n uint64) { s.onGap(n) },
	})
	return s
}

// ui is how a driver speaks to the person while the session runs.
type ui interface {
	hold(text string) // shows a state until release or the next hold
	release()
	say(text string)  // shows a line that stays
	warn(text string) // says what the server has to tell: not into a screen that a program has for itself
}

func (s *Session) notice(text string) { s.ui.warn(printable(text)) }

// onPeer keeps the latest news only; it is called from the connection's reader and must not wait.
func (s *Session) onPeer(here bool) {
	for {
		select {
		case s.peer <- here:
			return
		default:
		}
		select {
		case <-s.peer:
		default:
		}
	}
}

// running is a session being kept connected.
type running struct {
	cancel context.CancelFunc
	over   chan struct{} // closed when no connection will be made any more
	err    error         // why; valid once over is closed
}

// run keeps s connected in the background until stop is called or it is over. The parameters open the stream.
func (s *Session) run(ctx context.Context, u ui) *running {
	s.ui = u
	ctx, cancel := context.WithCancel(ctx)
	r := &running{cancel: cancel, over: make(chan struct{})}
	if s.encoded != nil {
		go func() { // ends with the endpoint
			out := s.endpoint.Out(wire.ChannelParams)
			if _, err := out.Write(s.encoded); err == nil {
				out.CloseWrite()
			}
		}()
	}
	go func() {
		defer close(r.over)
		r.err = s.keep(ctx)
		s.endpoint.Close(r.err)
	}()
	return r
}

// stop ends the connections and waits until they are gone.
func (r *running) stop() {
	r.cancel()
	<-r.over
}

// End asks the server to end the session now.
func (s *Session) End(ctx context.Context, reason string) error {
	var in api.EndIn
	in.Session = string(s.ID)
	in.Body.Reason = reason
	_, err := api.Call(ctx, s.client.API, api.EndSession, in)
	if errors.Is(err, sess.ErrEnded) {
		return nil
	}
	return err
}

// endQuietly ends a session whose user has gone, within endTimeout: through the server, or, when it does not let us, by a
// hangup to the command.
func (s *Session) endQuietly(ctx context.Context, reason string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if err := s.End(ctx, reason); err != nil {
		_ = s.endpoint.SendCtl(wire.CtlSignal, wire.Signal{Name: "SIGHUP"})
	}
}

// endTimeout bounds how long a user who wants to leave waits for the server.
const endTimeout = 3 * time.Second
