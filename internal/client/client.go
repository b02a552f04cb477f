package client

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Profile is what it takes to speak to one server as somebody.
type Profile struct {
	Server  link.Server
	Bearer  string // login token or API key; empty: only public operations work
	Version string // of this program, for the server's log
}

// Client speaks to one server. It is safe for concurrent use.
type Client struct {
	// API calls the server's operations; it shares its connections with the streams of sessions.
	API    *api.Client
	dialer *link.Dialer
}

// Open makes a client of p. It does not touch the network.
func Open(p Profile) *Client {
	agent := "sessctl/" + p.Version
	d := &link.Dialer{Server: p.Server, UserAgent: agent}
	return &Client{
		API:    &api.Client{Base: p.Server.URL, HTTP: d.HTTPClient(), Bearer: p.Bearer, Agent: agent},
		dialer: d,
	}
}

// Close closes idle connections.
func (c *Client) Close() { c.dialer.CloseIdle() }

// StartOptions say what to start, and where.
type StartOptions struct {
	Instance string // name, id or unique prefix
	OSUser   string // empty: the agent's default
	Reason   string
	Tags     map[string]string // to find and count it by
	Kind     sess.Kind
	Params   sess.Params
	// Size gives the terminal's size when a connection is made; nil without a terminal.
	Size func() (cols, rows uint16)
}

// Start starts a session. It returns as soon as the server has offered it to the agent; Exec or Terminal drives it.
//
// Over a long line a start takes five round trips to the first byte: TCP, TLS, the call, the WebSocket (on the call's
// connection), and the stream itself, whose first frames follow the upgrade at once.
func (c *Client) Start(ctx context.Context, o StartOptions) (*Session, error) {
	key, err := newSessionKey()
	if err != nil {
		return nil, err
	}
	params, err := sess.EncodeParams(o.Params)
	if err != nil {
		return nil, err
	}
	if _, err := sess.DecodeParams(o.Kind, params); err != nil {
		return nil, err
	}
	var in api.StartIn
	in.Body.Instance, in.Body.Kind, in.Body.OSUser, in.Body.Reason = o.Instance, o.Kind, o.OSUser, o.Reason
	in.Body.Params, in.Body.Tags = params, o.Tags
	if in.Body.PublicKey, err = key.public(); err != nil {
		return nil, err
	}
	ticket, err := api.Call(ctx, c.API, api.StartSession, in)
	if err != nil {
		return nil, err
	}
	return newSession(c, key, ticket, o.Kind, o.Params, params, o.Size), nil
}

// Attach takes a running session over: the client that had it gets "superseded". session is an id or a unique prefix.
func (c *Client) Attach(ctx context.Context, session string, size func() (cols, rows uint16)) (*Session, error) {
	key, err := newSessionKey()
	if err != nil {
		return nil, err
	}
	var in api.AttachIn
	in.Session = session
	if in.Body.PublicKey, err = key.public(); err != nil {
		return nil, err
	}
	ticket, err := api.Call(ctx, c.API, api.AttachSession, in)
	if err != nil {
		return nil, err
	}
	params, err := sess.DecodeParams(ticket.Kind, ticket.Params)
	if err != nil {
		return nil, err
	}
	return newSession(c, key, ticket, ticket.Kind, params, nil, size), nil
}

// resume asks for a fresh ticket of s, by its key.
func (c *Client) resume(ctx context.Context, s *Session) (api.Ticket, error) {
	ctx, cancel := context.WithTimeout(ctx, resumeTimeout)
	defer cancel()
	var in api.ResumeIn
	in.Session, in.Body.Participant = string(s.ID), s.guest
	var err error
	if in.Body.Nonce, in.Body.Signature, err = s.key.resumeProof(s.ID, s.first.Server); err != nil {
		return api.Ticket{}, err
	}
	return api.Call(ctx, c.API, api.ResumeSession, in)
}

// join dials the relay with a ticket.
func (c *Client) join(ctx context.Context, s *Session, t api.Ticket) (*link.Conn, error) {
	if c.API.Base.Scheme == "https" && !strings.HasPrefix(t.StreamURL, "wss://") {
		return nil, sess.New(sess.CodeRejected, "the server names a stream that is not encrypted", "its --public-url has to begin with https://")
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	hash := sha256.Sum256([]byte(t.Token))
	sig, err := s.key.sign(wire.JoinMessage(hash[:], t.Session, sess.SideClient, t.Server))
	if err != nil {
		return nil, err
	}
	h := http.Header{}
	h.Set("Authorization", "Bearer "+t.Token)
	h.Set("Sess-Signature", base64.RawURLEncoding.EncodeToString(sig))
	return c.dialer.Dial(ctx, t.StreamURL, wire.Subprotocol, h)
}

// Times that one attempt to come back may take.
const (
	resumeTimeout = 15 * time.Second
	joinTimeout   = 15 * time.Second
)
