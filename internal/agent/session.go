package agent

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/agent/process"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Times of a session.
const (
	ticketWait = 10 * time.Second // for the answer to a want, before asking again
	streamGood = time.Second      // a connection that lived longer makes the next outage a new one
)

// ticket joins the relay once.
type ticket struct{ secret, url string }

// session is one session that this agent runs or holds bytes of.
type session struct {
	a        *Agent
	offer    wire.Offer
	account  process.Account
	log      *slog.Logger
	endpoint *link.Endpoint
	tickets  chan ticket   // of one: the latest
	gone     chan struct{} // closed when run has returned
	ctx      context.Context
	cancel   context.CancelCauseFunc // its cause says why it is over
	lease    lease                   // watch's, once that runs

	mu sync.Mutex // protects the following
	// proc is the process, once it runs.
	proc     *process.Process
	hungup   bool           // asked to end softly
	ordered  sess.EndReason // why, if that was by order
	conn     *link.Conn     // the connection to a relay; nil: none stands
	peer     bool           // a client is there
	exitedAt time.Time      // when the process ended; zero: it has not
}

func newSession(life context.Context, a *Agent, o wire.Offer, info sess.KindInfo, acc process.Account) *session {
	s := &session{
		a: a, offer: o, account: acc, log: a.log.With("session", o.Session),
		tickets: make(chan ticket, 1), gone: make(chan struct{}), lease: newLease(a.leaseOf(o.GraceMS, o.LeaseMS), a.opts.Clock),
	}
	s.ctx, s.cancel = context.WithCancelCause(life)
	window := uint64(sess.WindowBulk)
	send := []uint32{wire.ChannelMain, wire.ChannelStderr}
	if info.Terminal {
		window, send = sess.WindowTerminal, send[:1]
	}
	if o.Programs {
		send = append(send, wire.ChannelPrograms)
	}
	if o.Echoed {
		send = append(send, wire.ChannelEchoed)
	}
	s.endpoint = link.NewEndpoint(link.EndpointConfig{
		Side: sess.SideAgent, Session: o.Session, Boot: a.boot, Window: window,
		Send: send, Recv: []uint32{wire.ChannelMain, wire.ChannelParams}, Guests: true,
		OnPeer: func(here bool) { s.mu.Lock(); s.peer = here; s.mu.Unlock() },
	})
	return s
}

// run runs the session to its end. What it starts has ended when it returns.
func (s *session) run(first ticket) {
	defer close(s.gone)
	var work sync.WaitGroup // the connections and the command
	work.Go(func() { s.join(first) })
	work.Go(func() { s.command() })
	s.watch()
	err := context.Cause(s.ctx)
	s.endpoint.Close(err)
	work.Wait()
	s.log.Info("session over", "cause", err)
}

// end ends the session at once: its processes are killed and its bytes forgotten. It does not wait for that.
func (s *session) end(cause error) { s.cancel(cause) }

// hangup asks the session's processes to end, and kills them after hangupPatience. Output and status still flow.
func (s *session) hangup(why string, order sess.EndReason) {
	s.mu.Lock()
	p, again := s.proc, s.hungup
	s.hungup = true
	if !again {
		s.ordered = order
	}
	s.mu.Unlock()
	if again {
		return
	}
	if p == nil {
		s.end(errors.New(why))
		return
	}
	s.log.Info("session hung up", "cause", why)
	p.Hangup()
	t := time.AfterFunc(hangupPatience, p.Kill)
	go func() { // ends when the process has, and that is not later than the kill
		<-p.Done()
		t.Stop()
	}()
}

// waitGone waits for the session's end, for at most d, and reports whether it came.
func (s *session) waitGone(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.gone:
		return true
	case <-t.C:
		return false
	}
}

// lastWords is how long the agent, when it is stopping, waits for the session's end after a hangup.
func (s *session) lastWords() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.conn != nil && s.peer:
		return shutdownWait
	case s.exitedAt.IsZero():
		return hangupPatience
	default:
		return 0
	}
}

var (
	errDelivered = errors.New("everything is delivered")
	errLinger    = errors.New("nobody fetched its last output in time")
	errNoServer  = errors.New("its lease ran out: no server was heard of for so long")
)

// watch returns when the session is over: delivered, ended, its lease has run out, or nobody fetches its last output.
func (s *session) watch() {
	linger := time.Duration(s.offer.GraceMS)*time.Millisecond + sess.LeaseExtra
	t := time.NewTicker(s.lease.every())
	defer t.Stop()
	for {
		select {
		case <-s.endpoint.Finished():
			s.cancel(errDelivered)
			return
		case <-s.ctx.Done():
			return
		case <-t.C:
			switch {
			case !s.lease.lasts(s.voices()):
				s.log.Warn("session ended by its lease: no server was heard of for so long", "lease", s.lease.time)
				s.a.lapsed(s.offer.Session)
				s.cancel(errNoServer)
				return
			case s.lingers() >= linger:
				s.endpoint.Forget()
				s.cancel(errLinger)
				return
			}
		}
	}
}

// lingers tells for how long the process has been over with no client there.
func (s *session) lingers() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exitedAt.IsZero() || s.conn != nil && s.peer {
		return 0
	}
	return time.Since(s.exitedAt)
}

// take keeps the latest ticket for join.
func (s *session) take(t ticket) {
	for {
		select {
		case s.tickets <- t:
			return
		default:
		}
		select {
		case <-s.tickets:
		default:
		}
	}
}

// join connects to the relay again and again until the session is over.
func (s *session) join(t ticket) {
	var wait backoff
	for s.ctx.Err() == nil {
		if t == (ticket{}) {
			var ok bool
			if t, ok = s.want(); !ok {
				return
			}
		}
		began := time.Now()
		err := s.connect(t)
		t = ticket{}
		var end *link.EndError
		switch {
		case s.ctx.Err() != nil:
			return
		case err == nil:
			return // finished: watch sees it
		case errors.As(err, &end), errors.Is(err, sess.ErrEnded), errors.Is(err, link.ErrGap):
			s.end(err)
			return
		}
		if time.Since(began) > streamGood {
			wait.reset()
		}
		d := wait.next(time.Now())
		s.log.Info("stream lost", "error", err, "retry_in", d.Round(time.Millisecond))
		waitNetwork(s.ctx, d, netSettle)
	}
}

// want asks for a fresh ticket, over whichever control link there is, until one comes.
func (s *session) want() (ticket, bool) {
	for {
		c, change := s.a.link()
		if c == nil {
			select {
			case <-change:
				continue
			case t := <-s.tickets:
				return t, true
			case <-s.ctx.Done():
				return ticket{}, false
			}
		}
		if err := c.WriteControl(wire.Control{T: wire.ControlWant, Session: s.offer.Session}); err != nil {
			s.log.Debug("ask for a ticket", "error", err)
		}
		t := time.NewTimer(ticketWait)
		select {
		case got := <-s.tickets:
			t.Stop()
			return got, true
		case <-s.ctx.Done():
			t.Stop()
			return ticket{}, false
		case <-change:
			t.Stop()
		case <-t.C:
		}
	}
}

// connect joins the relay with one ticket and drives the connection until it breaks.
func (s *session) connect(t ticket) error {
	d, err := s.a.streamDialer(t.url)
	if err != nil {
		return err
	}
	hash := sha256.Sum256([]byte(t.secret))
	sig := ed25519.Sign(s.a.key, wire.JoinMessage(hash[:], s.offer.Session, sess.SideAgent, s.a.id.ServerName))
	h := http.Header{}
	h.Set("Authorization", "Bearer "+t.secret)
	h.Set("Sess-Signature", base64.RawURLEncoding.EncodeToString(sig))
	ctx, cancel := context.WithTimeout(s.ctx, dialTimeout)
	c, err := d.Dial(ctx, t.url, wire.Subprotocol, h)
	cancel()
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	s.joined(c)
	defer s.joined(nil)
	return s.endpoint.Run(s.ctx, c)
}

// joined notes the connection to a relay; nil: there is none any more.
func (s *session) joined(c *link.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn = c; c == nil {
		s.peer = false
	}
}
