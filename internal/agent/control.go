package agent

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Times of the control link.
const (
	dialTimeout  = 30 * time.Second // TCP, proxy, TLS and upgrade together
	helloTimeout = 15 * time.Second // challenge, and welcome
	loadInterval = 60 * time.Second
	healthy      = 10 * time.Second // a link that lived longer makes the next outage a new one
	netSettle    = time.Second      // shortest wait that a change of the network cuts to
	repeatLog    = 15 * time.Minute // the same problem is logged this often
	nonceSize    = 32
)

// keep holds a control link for as long as ctx lives; sessions get life.
func (a *Agent) keep(ctx, life context.Context) {
	var wait backoff
	var lastText string
	var lastLog time.Time
	for ctx.Err() == nil {
		began := time.Now()
		err := a.connect(ctx, life)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > healthy && a.wasUp(began) {
			wait.reset()
		}
		d := a.delay(err, &wait)
		face := sess.Public(err)
		if face.Code == sess.CodeInternal {
			face = sess.New(sess.CodeUnavailable, "lost the server: "+err.Error(), "")
		}
		a.report(func(s *Status) { s.Connected, s.Problem, s.Hint, s.Since = false, face.Message, face.Hint, time.Now() })
		if text := face.Message; text != lastText || time.Since(lastLog) > repeatLog {
			a.log.Warn("not connected", "problem", text, "hint", face.Hint, "error", err, "retry_in", d.Round(time.Millisecond))
			lastText, lastLog = text, time.Now()
		}
		waitNetwork(ctx, d, netSettle)
	}
}

// wasUp reports whether a control link was welcomed since t.
func (a *Agent) wasUp(t time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lost.After(t)
}

// delay gives how long to wait after err.
func (a *Agent) delay(err error, b *backoff) time.Duration {
	var pin *link.CertificateError
	var refused *refusal
	switch {
	case errors.As(err, &pin):
		return around(pinWait)
	case errors.As(err, &refused) && refused.forGood():
		return around(refusedWait)
	default:
		return b.next(time.Now())
	}
}

// refusal is the server's answer to a hello that it does not welcome.
type refusal struct{ face *sess.Error }

// Error implements error.
func (r *refusal) Error() string { return "refused by the server: " + r.face.Error() }

// Unwrap gives what the server said.
func (r *refusal) Unwrap() error { return r.face }

// forGood reports whether asking again soon is pointless.
func (r *refusal) forGood() bool {
	switch r.face.Code {
	case sess.CodeUnavailable, sess.CodeLimited, sess.CodeInternal, sess.CodeMoved:
		return false
	default:
		return true
	}
}

// connect drives one control link from dial to loss.
func (a *Agent) connect(ctx, life context.Context) error {
	dctx, cancel := context.WithTimeout(ctx, dialTimeout)
	c, err := a.dialer.Dial(dctx, a.controlURL(), wire.ControlSubprotocol, nil)
	cancel()
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	c.SetReadDeadline(time.Now().Add(helloTimeout))
	nonce, name, err := a.greet(c)
	if err != nil {
		return err
	}
	c.SetReadDeadline(time.Time{})
	a.linkUp(c, nonce, name)
	defer a.linkDown(c)
	a.sayOver(c)
	beat := a.beats(c)
	defer beat()
	for {
		m, err := c.ReadControl()
		if err != nil {
			return fmt.Errorf("read control link: %w", err)
		}
		a.handle(life, c, nonce, m)
	}
}

func (a *Agent) controlURL() string {
	u := url.URL{Scheme: a.server.URL.Scheme, Host: a.server.URL.Host, Path: api.PathAgent}
	return u.String()
}

// greet proves who we are on a fresh link.
func (a *Agent) greet(c *link.Conn) (nonce, name string, err error) {
	m, err := c.ReadControl()
	if err != nil {
		return "", "", fmt.Errorf("wait for challenge: %w", err)
	}
	if m.T == wire.ControlRefuse {
		return "", "", &refusal{sess.New(m.Code, orElse(m.Message, "the server refuses this agent"), m.Hint)}
	}
	raw, err := base64.RawURLEncoding.DecodeString(m.Nonce)
	if m.T != wire.ControlChallenge || err != nil || len(raw) != nonceSize {
		return "", "", fmt.Errorf("server begins with %q, not with a challenge", m.T)
	}
	err = c.WriteControl(wire.Control{T: wire.ControlHello, Hello: &wire.AgentHello{
		Instance: a.id.Instance, Boot: a.boot, Sessions: a.sessionIDs(), Lapsed: a.lapsedIDs(),
		Signature: ed25519.Sign(a.key, wire.SignedMessage(wire.PurposeAgentHello, []byte(m.Nonce), []byte(a.id.ServerName))),
		Version:   a.opts.Version, Protocol: wire.Version, Host: a.describeHost(),
	}})
	if err != nil {
		return "", "", fmt.Errorf("send hello: %w", err)
	}
	answer, err := c.ReadControl()
	switch {
	case err != nil:
		return "", "", fmt.Errorf("wait for welcome: %w", err)
	case answer.T == wire.ControlRefuse:
		return "", "", &refusal{sess.New(answer.Code, orElse(answer.Message, "the server refuses this agent"), answer.Hint)}
	case answer.T != wire.ControlWelcome:
		return "", "", fmt.Errorf("server answers the hello with %q", answer.T)
	}
	return m.Nonce, answer.Name, nil
}

// linkUp makes c the control link.
func (a *Agent) linkUp(c *link.Conn, nonce, name string) {
	a.mu.Lock()
	a.ctl, a.nonce, a.down, a.lapses = c, nonce, make(chan struct{}), nil
	close(a.up)
	a.rest()
	renamed := name != "" && name != a.id.Name
	if renamed {
		a.id.Name = name
	}
	id := a.id
	a.mu.Unlock()
	if renamed {
		if err := a.opts.State.saveIdentity(id); err != nil {
			a.log.Warn("keep the instance's new name", "error", err)
		}
	}
	a.log.Info("connected", "server", a.server.URL, "name", id.Name)
	a.report(func(s *Status) { s.Connected, s.Name, s.Problem, s.Hint, s.Since = true, id.Name, "", "", time.Now() })
}

// linkDown forgets it.
func (a *Agent) linkDown(c *link.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctl == c {
		close(a.down)
		a.ctl, a.nonce, a.up, a.lost = nil, "", make(chan struct{}), time.Now()
	}
}

// link gives the control link and a channel that is closed once that is lost; or nil and one that is closed once there is
// a link.
func (a *Agent) link() (*link.Conn, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctl == nil {
		return nil, a.up
	}
	return a.ctl, a.down
}

// beats sends the machine's load now and then, without a goroutine that waits; the Conn itself keeps the link alive. The
// result ends it.
func (a *Agent) beats(c *link.Conn) (stop func()) {
	ready, done := make(chan struct{}), make(chan struct{})
	var t *time.Timer
	t = time.AfterFunc(0, func() {
		<-ready
		if c.WriteControl(wire.Control{T: wire.ControlBeat, Load: measureLoad()}) != nil {
			return
		}
		select {
		case <-done:
		default:
			t.Reset(around(loadInterval))
		}
	})
	close(ready)
	return func() { close(done); t.Stop() }
}

// handle acts on one message. What may take time runs beside the link's reader.
func (a *Agent) handle(life context.Context, c *link.Conn, nonce string, m wire.Control) {
	switch m.T {
	case wire.ControlOffer:
		a.work.Go(func() { a.offered(life, c, nonce, m) })
	case wire.ControlTicket:
		if s := a.session(m.Session); s != nil {
			s.take(ticket{secret: m.Ticket, url: m.URL})
		}
	case wire.ControlEnded:
		if s := a.session(m.Session); s != nil {
			s.end(errors.New("the server says that it is over"))
		}
	case wire.ControlOrder:
		a.ordered(nonce, m)
	case wire.ControlBeat:
	default:
		a.log.Debug("control message of an unknown type", "type", m.T)
	}
}

// ordered ends a session by the broker's order.
func (a *Agent) ordered(nonce string, m wire.Control) {
	var o wire.Order
	if m.Signed == nil {
		a.log.Warn("order without a signature")
		return
	}
	if err := m.Signed.Verify(a.broker, wire.PurposeOrder, &o); err != nil {
		a.log.Warn("order not obeyed", "error", err)
		return
	}
	if o.Nonce != nonce {
		a.log.Warn("order not obeyed: it was made for another connection", "session", o.Session)
		return
	}
	s := a.session(o.Session)
	if s == nil {
		return
	}
	a.log.Info("session ended by order", "session", o.Session, "reason", o.Reason, "by", o.By, "hard", o.Hard)
	if o.Hard {
		s.end(fmt.Errorf("ended by order: %s", o.Reason))
		return
	}
	s.hangup("ended by order", o.Reason)
}
