package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Times of coming back.
const (
	quietLoss = 300 * time.Millisecond // a connection that is back by then was not worth a line
	awayAsk   = 3 * time.Second        // the agent's side being gone for so long makes us ask where the session is
	awayAgain = 10 * time.Second
)

// keep connects s, and again whenever the connection breaks, until the session is over, ctx ends, or the server was out
// of reach for longer than the session lives on without us. It returns why: nil when the endpoint is finished.
func (s *Session) keep(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	go func() { // ends with ctx; keep waits for it
		defer close(watched)
		s.watchPeer(ctx, cancel)
	}()
	defer func() { cancel(nil); <-watched }()

	ticket := s.first
	var lost loss
	defer lost.stop()
	for {
		err := s.once(ctx, ticket, &lost)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			return nil
		}
		if over := s.over(ctx, err); over != nil {
			return over
		}
		if ticket, err = s.again(ctx, &lost); err != nil {
			return err
		}
	}
}

// once makes one connection and drives it until it breaks.
func (s *Session) once(ctx context.Context, t api.Ticket, lost *loss) error {
	conn, err := s.client.join(ctx, s, t)
	if err != nil {
		lost.begin(s, err)
		return err
	}
	lost.end(s)
	s.setConn(conn, t.StreamURL)
	err = s.endpoint.Run(ctx, conn)
	conn.Close()
	s.setConn(nil, "")
	if err != nil {
		lost.begin(s, err)
	}
	return err
}

func (s *Session) setConn(c *link.Conn, url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.url = c, url
}

// connected reports whether there is a connection to the relay now.
func (s *Session) connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != nil
}

// again gets the ticket for the next connection, trying until there is one or no hope.
func (s *Session) again(ctx context.Context, lost *loss) (api.Ticket, error) {
	s.mu.Lock()
	next := s.next
	s.next = nil
	s.mu.Unlock()
	if next != nil {
		return *next, nil
	}
	for {
		select {
		case <-ctx.Done():
			return api.Ticket{}, context.Cause(ctx)
		case <-time.After(lost.delay(rand.Float64())): //nolint:gosec // jitter
		}
		t, err := s.client.resume(ctx, s)
		if err == nil {
			return t, nil
		}
		if ctx.Err() != nil {
			return api.Ticket{}, context.Cause(ctx)
		}
		if over := s.refused(ctx, err); over != nil {
			return api.Ticket{}, over
		}
		if since := time.Since(lost.since); since > s.Grace {
			return api.Ticket{}, sess.Wrap(err, sess.CodeUnavailable,
				fmt.Sprintf("no connection for %s, longer than the session lives on without one", since.Round(time.Second)),
				"it has ended by itself; when the server is back, sessctl session show "+string(s.ID)+" says how")
		}
	}
}

// loss counts attempts since a connection was lost. The zero value is connected.
type loss struct {
	since   time.Time
	attempt int
	line    *time.Timer
}

func (l *loss) begin(s *Session, err error) {
	if !l.since.IsZero() || errors.Is(err, sess.ErrMoved) {
		return
	}
	var end *link.EndError
	if errors.As(err, &end) || errors.Is(err, sess.ErrSuperseded) {
		return
	}
	l.since = time.Now()
	l.line = time.AfterFunc(quietLoss, func() { s.ui.hold("connection lost, reconnecting…") })
}

func (l *loss) end(s *Session) {
	if l.since.IsZero() {
		return
	}
	l.line.Stop()
	*l = loss{}
	s.ui.release()
}

// stop is for who gives up: nothing is shown any more.
func (l *loss) stop() {
	if l.line != nil {
		l.line.Stop()
	}
}

// delay says how long to wait before the next attempt: the first is at once, the others full jitter of r in [0,1) below
// 5 s for two minutes, then 20 to 30 s, so that a server that comes back is not run over.
func (l *loss) delay(r float64) time.Duration {
	l.attempt++
	if l.attempt == 1 {
		return 0
	}
	if !l.since.IsZero() && time.Since(l.since) > 2*time.Minute {
		return 20*time.Second + time.Duration(r*float64(10*time.Second))
	}
	limit := min(5*time.Second, 250*time.Millisecond<<min(l.attempt-2, 10))
	return time.Duration(r * float64(limit))
}

// watchPeer looks after the agent's side being gone: it tells the user, and asks the API whether the session is over or
// has moved to another node.
func (s *Session) watchPeer(ctx context.Context, cancel context.CancelCauseFunc) {
	var wait <-chan time.Time
	held := false
	for {
		select {
		case <-ctx.Done():
			return
		case here := <-s.peer:
			switch {
			case here:
				wait = nil
				if held {
					held = false
					s.ui.release()
				}
			case wait == nil:
				wait = time.After(awayAsk)
			}
			continue
		case <-wait:
		}
		wait = time.After(awayAgain)
		if !s.connected() {
			continue // keep is asking already
		}
		if !held {
			held = true
			s.ui.hold(s.Instance + " is not connected to the server, waiting for it…")
		}
		if err := s.askMoved(ctx); err != nil {
			cancel(err)
			return
		}
	}
}

// askMoved asks for a ticket; one for another node makes keep go there.
func (s *Session) askMoved(ctx context.Context) error {
	t, err := s.client.resume(ctx, s)
	if err != nil {
		return s.refused(ctx, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil && t.StreamURL != s.url {
		s.next = &t
		s.conn.Close()
	}
	return nil
}

// over says whether err of a connection or a dial ends the session for us, and how to put it.
func (s *Session) over(ctx context.Context, err error) error {
	var end *link.EndError
	switch {
	case errors.As(err, &end):
		return s.ended(end.EndFrame)
	case errors.Is(err, sess.ErrSuperseded):
		return s.superseded()
	case errors.Is(err, link.ErrGap), errors.Is(err, link.ErrDetached):
		return err
	case errors.Is(err, sess.ErrExpired), errors.Is(err, sess.ErrUnauthenticated):
		return nil // the ticket, not the session: ask for another
	}
	return s.refused(ctx, err)
}

// refused says whether err is the server's last word on the session, and how to put it; nil: try again later.
func (s *Session) refused(ctx context.Context, err error) error {
	var e *sess.Error
	if !errors.As(err, &e) {
		return nil
	}
	switch e.Code {
	case sess.CodeEnded:
		return s.lookUp(ctx, e)
	case sess.CodeSuperseded:
		return s.superseded()
	case sess.CodeNotFound, sess.CodeDenied, sess.CodeLocked, sess.CodeUnauthenticated, sess.CodeInvalid, sess.CodeExpired, sess.CodeRejected:
		return e
	default: // it may do better next time
	}
	if errors.As(err, new(*link.CertificateError)) {
		return e
	}
	return nil
}

// lookUp asks how the session ended; where that is not to be had, the server's refusal has to do.
func (s *Session) lookUp(ctx context.Context, e *sess.Error) error {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	row, err := api.Call(ctx, s.client.API, api.GetSession, api.SessionRef{Session: string(s.ID)})
	if err != nil || row.EndReason == "" {
		return e
	}
	return s.ended(wire.EndFrame{Reason: row.EndReason, By: row.EndedBy, Message: row.EndMessage, Exit: row.Exit})
}
