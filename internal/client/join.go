package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Guest is a session that this process is in beside its owner: made by Join, driven once by Watch.
type Guest struct {
	Session
	Role        sess.JoinRole
	Owner       string // whose session it is
	Participant uint16
	Terminal    bool
	// Waiting is until when the owner may answer, who is being asked; zero: there is nothing to wait for.
	Waiting time.Time

	show func(h wire.Header, p []byte) error // set by the driver before run
}

// Join asks to be let into a session in a role. session is an id or a unique prefix. Where Waiting is set, Await comes next.
func (c *Client) Join(ctx context.Context, session string, role sess.JoinRole) (*Guest, error) {
	key, err := newSessionKey()
	if err != nil {
		return nil, err
	}
	var in api.JoinIn
	in.Session, in.Body.Role = session, role
	if in.Body.PublicKey, err = key.public(); err != nil {
		return nil, err
	}
	out, err := c.askToJoin(ctx, in)
	if err != nil {
		return nil, err
	}
	g := &Guest{}
	g.client, g.key = c, key
	g.let(out)
	return g, nil
}

// askEvery is how often a session that has not begun yet is asked for again.
const askEvery = 300 * time.Millisecond

// askToJoin asks to be let in, and again while the session is about to begin: whoever is called to moderate it comes as soon
// as its owner says so.
func (c *Client) askToJoin(ctx context.Context, in api.JoinIn) (api.JoinOut, error) {
	begun := time.NewTimer(sess.StartTimeout)
	defer begun.Stop()
	for {
		out, err := api.Call(ctx, c.API, api.JoinSession, in)
		if !errors.Is(err, &sess.Error{Code: sess.CodePending}) {
			return out, err
		}
		select {
		case <-ctx.Done():
			return out, fmt.Errorf("wait for the session to begin: %w", ctx.Err())
		case <-begun.C:
			return out, err
		case <-time.After(askEvery):
		}
	}
}

// Await waits for the owner's answer. No answer in time, and no, are errors.
func (g *Guest) Await(ctx context.Context) error {
	for !g.Waiting.IsZero() {
		var in api.ParticipantRef
		in.Session, in.Participant = string(g.ID), g.Participant
		out, err := api.Call(ctx, g.client.API, api.AwaitAnswer, in)
		if err != nil {
			return err
		}
		g.let(out)
	}
	return nil
}

// let takes the server's answer: a ticket, or until when to wait.
func (g *Guest) let(out api.JoinOut) {
	g.ID, g.Kind, g.Instance, g.Grace = out.Session, out.Kind, printable(out.Instance), guestPatience
	g.Role, g.Owner, g.Participant, g.Terminal = out.Role, printable(out.Owner), out.Participant, out.Terminal
	g.first, g.guest, g.Waiting = out.Ticket, out.Participant, time.Time{}
	if out.Waiting != nil {
		g.Waiting = *out.Waiting
		return
	}
	var send []uint32
	if g.Role.Types() {
		send = []uint32{wire.ChannelMain}
	}
	g.peer = make(chan bool, 1)
	g.endpoint = link.NewEndpoint(link.EndpointConfig{
		Side: sess.SideClient, Session: g.ID, Send: send, Window: wire.WindowGuest, Participant: g.Participant,
		Show: func(h wire.Header, p []byte) error { return g.show(h, p) }, OnNotice: g.notice, OnPeer: g.onPeer,
	})
}

// guestPatience is how long a guest tries to come back: the server lets them for as long.
const guestPatience = time.Minute

// leave says that we go for good.
func (g *Guest) leave() { g.endpoint.Detach() }
