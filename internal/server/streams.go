package server

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/relay"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// headerSignature carries the signature of the joining side, base64url without padding.
const headerSignature = "Sess-Signature"

// maxTicketHeader bounds ticket and signature as text, bytes.
const maxTicketHeader = 256

// serveStream lets one side of a session join the relay. The ticket is used up before the connection is upgraded, so a
// refusal is an ordinary problem document.
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request) {
	req := requestOf(r.Context())
	redeem, err := s.readRedeem(r, req)
	if err != nil {
		s.writeError(w, req, err)
		return
	}
	joined, err := s.broker.Redeem(r.Context(), redeem)
	if err != nil {
		s.writeError(w, req, err)
		return
	}
	s.strangers.known(req.remote)
	conn, err := link.Accept(w, r, wire.Subprotocol)
	if err != nil {
		s.broker.Left(r.Context(), joined)
		s.log.Info("stream not upgraded", "request_id", req.id, "session", joined.Session, "err", err)
		return
	}
	join := joinOf(joined)
	join.Request = req.id
	if !s.own(conn.Close, func(ctx context.Context) {
		defer s.broker.Left(sess.WithRequest(ctx, req.id), joined)
		s.relay.Join(join, conn)
	}) {
		s.broker.Left(r.Context(), joined)
	}
}

func (s *Server) readRedeem(r *http.Request, req request) (broker.Redeem, error) {
	if err := wantsUpgrade(r); err != nil {
		return broker.Redeem{}, err
	}
	if err := s.limitStream(r.Context(), req); err != nil {
		return broker.Redeem{}, err
	}
	ticket, err := bearerOf(r.Header.Get("Authorization"))
	if err != nil || len(ticket) > maxTicketHeader {
		s.refused(r.Context(), req.addr, sess.CodeUnauthenticated)
		return broker.Redeem{}, sess.New(sess.CodeUnauthenticated, "a stream needs a ticket", "start a session to get one")
	}
	text := r.Header.Get(headerSignature)
	sig, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(sig) == 0 || len(text) > maxTicketHeader {
		return broker.Redeem{}, sess.New(sess.CodeUnauthenticated, "a stream needs a signature in "+headerSignature, "")
	}
	return broker.Redeem{Ticket: ticket, Signature: sig, Addr: req.addr, RequestID: req.id}, nil
}

// limitStream bounds how often one address may connect.
func (s *Server) limitStream(ctx context.Context, req request) error {
	wait, ok := s.publicRate.allow(req.addr, s.now())
	if ok {
		return nil
	}
	s.refused(ctx, req.addr, sess.CodeLimited)
	return sess.New(sess.CodeLimited, "too many connections from your address", "try again in "+wait.Round(time.Second).String())
}

// wantsUpgrade refuses what is no WebSocket before anything is used up for it.
func wantsUpgrade(r *http.Request) error {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return sess.New(sess.CodeInvalid, "this is a WebSocket endpoint", "a proxy in between may have removed the Upgrade header")
	}
	return nil
}

// joinOf says to the relay what the broker found out.
func joinOf(j broker.Joined) relay.Join {
	gen, other := j.ClientGen, j.AgentGen
	if j.Side == sess.SideAgent {
		gen, other = other, gen
	}
	return relay.Join{
		Org: j.Org, Session: j.Session, Side: j.Side, Gen: gen, OtherGen: other, Epoch: j.Epoch,
		Window: j.Window, FreeRun: j.FreeRun, Terminal: j.TTY, First: j.First, Takeover: j.Takeover, Ended: j.Ended,
		Participant: j.Participant, Role: j.Role, Moderators: j.Moderators,
		Meta: recording.Meta{
			Kind: j.Kind, Instance: j.Instance, InstanceName: j.InstanceName, User: j.UserName, OSUser: j.OSUser,
			Command: j.Command, TTY: j.TTY, Started: j.CreatedAt, Recording: j.Recording, Input: j.Input,
			Recipients: j.Recipients,
		},
	}
}

// serveControl runs the control link of an agent, which proves who it is on the link itself.
func (s *Server) serveControl(w http.ResponseWriter, r *http.Request) {
	req := requestOf(r.Context())
	err := wantsUpgrade(r)
	if err == nil {
		err = s.limitStream(r.Context(), req)
	}
	if err != nil {
		s.writeError(w, req, err)
		return
	}
	conn, err := link.Accept(w, r, wire.ControlSubprotocol)
	if err != nil {
		s.log.Info("control link not upgraded", "request_id", req.id, "err", err)
		return
	}
	s.own(conn.Close, func(ctx context.Context) {
		ctx = sess.WithRequest(ctx, req.id)
		// It stays a stranger in the count until it closes or its first message after the proof: see controlConn.
		if err := s.broker.ServeAgent(ctx, &controlConn{Conn: conn, known: func() { s.strangers.known(req.remote) }}, req.addr); err != nil {
			s.log.Info("control link over", "request_id", req.id, "client", req.addr.String(), "err", err)
		}
	})
}

// controlConn takes a control link out of the count of strangers once the broker welcomes it.
type controlConn struct {
	*link.Conn
	known func()
}

// WriteControl implements broker.ControlConn.
func (c *controlConn) WriteControl(m wire.Control) error {
	if m.T == wire.ControlWelcome {
		c.known()
	}
	return c.Conn.WriteControl(m) //nolint:wrapcheck // it is the same call
}

// own runs the connection of a WebSocket in a goroutine of the server, so that the handler can return: that frees what
// net/http holds for a request. Drain ends it through stop. It reports whether it does: not when the server goes down.
func (s *Server) own(stop func(), run func(context.Context)) bool {
	if s.conns.add(stop, run) {
		return true
	}
	stop()
	return false
}
