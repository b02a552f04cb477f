package agent_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"

	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// relay joins two sides the simplest way that keeps the rules: it starts a round at each join, and lets both go once both
// have said hello. It records nothing, so a side that is alone waits.
type relay struct {
	mu    sync.Mutex // protects the following
	round uint32
	sides map[sess.Side]*party
	exits int // exit statements heard
	mute  bool
}

type party struct {
	conn  *link.Conn
	hello *wire.HelloFrame
	going bool
}

func (w *world) stream(rw http.ResponseWriter, r *http.Request) {
	side, id := sess.SideClient, sess.SessionID(r.Header.Get("Test-Client"))
	if id == "" {
		side = sess.SideAgent
		if id = w.redeem(r); id == "" {
			http.Error(rw, "", http.StatusUnauthorized)
			return
		}
	}
	c, err := link.Accept(rw, r, wire.Subprotocol)
	if err != nil {
		return
	}
	defer c.Close()
	w.relay(id).join(side, c)
}

// redeem takes an agent's ticket and checks its signature; it gives "" when anything is wrong.
func (w *world) redeem(r *http.Request) sess.SessionID {
	secret, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	hash := sha256.Sum256([]byte(secret))
	sig, _ := base64.RawURLEncoding.DecodeString(r.Header.Get("Sess-Signature"))
	w.mu.Lock()
	defer w.mu.Unlock()
	id := w.tickets[secret]
	delete(w.tickets, secret)
	if !ed25519.Verify(w.agent, wire.JoinMessage(hash[:], id, sess.SideAgent, serverName), sig) {
		return ""
	}
	return id
}

func (w *world) relay(id sess.SessionID) *relay {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.relays[id] == nil {
		w.relays[id] = &relay{sides: map[sess.Side]*party{}}
	}
	return w.relays[id]
}

// cut closes a side's connection.
func (r *relay) cut(side sess.Side) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.sides[side]; p != nil {
		p.conn.Close()
	}
}

func (r *relay) here(side sess.Side) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sides[side] != nil
}

func other(s sess.Side) sess.Side {
	if s == sess.SideAgent {
		return sess.SideClient
	}
	return sess.SideAgent
}

func (r *relay) join(side sess.Side, c *link.Conn) {
	p := &party{conn: c}
	r.mu.Lock()
	if old := r.sides[side]; old != nil {
		old.conn.Close()
	}
	r.sides[side] = p
	r.round++
	for s, q := range r.sides {
		q.hello, q.going = nil, false
		_, here := r.sides[other(s)]
		_ = q.conn.Write(wire.Header{Type: wire.Ask}, wire.AppendAsk(nil, wire.AskFrame{Epoch: 1, Round: r.round, PeerHere: here}))
	}
	r.mu.Unlock()
	for r.step(side, p) {
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sides[side] == p {
		delete(r.sides, side)
		if q := r.sides[other(side)]; q != nil {
			_ = q.conn.Write(wire.Header{Type: wire.Away}, nil)
		}
	}
}

// step handles one frame.
func (r *relay) step(side sess.Side, p *party) bool {
	h, b, err := p.conn.Read()
	if err != nil {
		return false
	}
	r.mu.Lock()
	q := r.sides[other(side)]
	forward := p.going && q != nil && q.going
	switch h.Type {
	case wire.Hello:
		hello, err := wire.DecodeHello(b)
		if err == nil && hello.Round == uint64(r.round) {
			p.hello = &hello
			r.letGo()
		}
		r.mu.Unlock()
		return err == nil
	case wire.ExitStatement:
		r.exits++
		if !r.mute {
			_ = p.conn.Write(wire.Header{Type: wire.ExitOK}, nil)
		}
		forward = false
	case wire.Beat:
		forward = false
	}
	r.mu.Unlock()
	if forward {
		_ = q.conn.Write(h, b) // outside the lock: this direction may wait, the other must not
	}
	return true
}

// letGo lets both sides continue once both have said hello; the caller holds mu.
func (r *relay) letGo() {
	a, c := r.sides[sess.SideAgent], r.sides[sess.SideClient]
	if a == nil || c == nil || a.hello == nil || c.hello == nil {
		return
	}
	for _, pair := range [][2]*party{{a, c}, {c, a}} {
		g := wire.GoFrame{Epoch: 1, Round: uint64(r.round), PeerHere: true}
		for _, s := range pair[0].hello.Send {
			for _, t := range pair[1].hello.Recv {
				if s.StreamID == t.StreamID {
					g.Send = append(g.Send, wire.SendGo{StreamID: s.StreamID, From: max(s.Base, t.Recv), Free: max(s.Base, t.Consumed), Limit: t.Limit})
				}
			}
		}
		_ = pair[0].conn.Write(wire.Header{Type: wire.Go}, wire.AppendGo(nil, g))
		pair[0].going = true
	}
}
