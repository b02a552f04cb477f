package relay

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Guests are the participants of a session beside its owner. What the agent sends is copied into a queue for each of them
// (guest_show.go) when it is on record, and never waits for them; what a peer types is a stream of its own
// (guest_type.go). The owner's frames pass as if nobody else were there: without guests the only trace of them on that
// way is one look at an empty list.

// guest is a participant's connection.
type guest struct {
	num  uint16
	role sess.JoinRole
	gen  uint64
	req  string // id of the request that became the connection
	conn *link.Conn
	gone chan struct{} // closed when its reader has ended
	show shown

	// Protected by session.mu.
	typing guestRound
	out    bool // told to go: until its connection is closed it is nobody
}

// joinGuest runs one connection of a participant until it is over.
func (r *Relay) joinGuest(j Join, c *link.Conn) {
	s, err := r.enter(j)
	if err != nil {
		r.refuse(c, err)
		return
	}
	defer r.leave(s)
	g := &guest{num: j.Participant, role: j.Role, gen: j.Gen, req: j.Request, conn: c, gone: make(chan struct{})}
	g.show.init()
	if !s.admit(g) || r.closing() {
		s.unlist(g)
		c.Close()
		return
	}
	s.call(s.guestHere(g, true, false))
	writer := make(chan struct{})
	go func() { // ends when gone is closed, and the connection with it
		defer close(writer)
		s.showTo(g)
	}()
	onPurpose, err := s.readGuest(g)
	if err != nil {
		r.log.Debug("guest's connection over", "session", j.Session, "participant", g.num, "err", err)
	}
	if s.unlist(g) { // before the writer has ended, which may be in the middle of a screen
		s.call(s.guestHere(g, false, onPurpose))
	}
	close(g.gone)
	c.Close()
	<-writer
}

// admit takes g in, in place of an older connection of the same participant. It reports false when g is not wanted.
func (s *session) admit(g *guest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return false
	}
	for i, old := range s.guests {
		if old.num != g.num {
			continue
		}
		if old.gen >= g.gen {
			return false
		}
		s.stopTyping(old)
		old.conn.Close()
		s.guests = slices.Delete(s.guests, i, i+1)
		break
	}
	if len(s.guests) >= sess.MaxGuests {
		return false
	}
	s.guests = append(s.guests, g)
	_ = s.journal.Mark("join", map[string]any{"participant": g.num, "role": g.role, "gen": g.gen})
	s.guestCame(g)
	return true
}

// unlist takes g out and reports whether it was there still.
func (s *session) unlist(g *guest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.guests, g)
	if i < 0 {
		return false
	}
	s.guests = slices.Delete(s.guests, i, i+1)
	s.stopTyping(g)
	_ = s.journal.Mark("leave", map[string]any{"participant": g.num, "role": g.role, "gen": g.gen})
	s.guestWent(g)
	return true
}

// guestCame does what follows from g being here; the caller holds mu.
func (s *session) guestCame(g *guest) {
	if g.role.Types() {
		s.askGuest(g)
		if s.parties[sideIndex(sess.SideClient)] == nil && s.parties[sideIndex(sess.SideAgent)] != nil {
			s.awayTimer()
		}
	}
	s.sayExitTo(g)
	if g.role == sess.JoinModerator {
		s.moderated()
	}
}

// guestWent does what follows from g being gone; the caller holds mu.
func (s *session) guestWent(g *guest) {
	if g.role == sess.JoinModerator && s.end == nil {
		s.moderated()
	}
}

// readGuest is the reader of g's connection, until that ends. onPurpose: the participant left and does not come back.
func (s *session) readGuest(g *guest) (onPurpose bool, err error) {
	for {
		frame, err := g.conn.ReadFrame()
		if err != nil {
			return false, err
		}
		h, payload, err := wire.Decode(frame)
		if err == nil {
			switch h.Type {
			case wire.Beat, wire.Credit: // a guest's output has no credit
			case wire.Hello:
				err = s.guestHello(g, payload)
			case wire.Data:
				err = s.typed(g, h, payload, frame)
			case wire.Away:
				return true, nil
			default:
				if !h.Type.Skip() {
					err = mistake("%v from participant %d", h.Type, g.num)
				}
			}
		}
		if err == nil {
			continue
		}
		var pe *protocolError
		if errors.As(err, &pe) || errors.Is(err, wire.ErrPayload) {
			s.relay.log.Warn("protocol", "session", s.id, "participant", g.num, "err", err)
			b, _ := json.Marshal(wire.ErrorFrame{Code: sess.CodeInvalid, Message: err.Error()})
			_ = g.conn.Write(wire.Header{Type: wire.Error}, b)
			g.conn.Drain(lastWords)
		}
		return false, err
	}
}

// guestHere tells the broker that a participant's connection came or went. One that should not be here is closed.
func (s *session) guestHere(g *guest, here, left bool) func(context.Context) error {
	return of(g.req, func(ctx context.Context) error {
		err := s.relay.broker.Guest(ctx, s.org, s.id, g.num, g.gen, here, left)
		if here && (errors.Is(err, sess.ErrEnded) || errors.Is(err, sess.ErrDenied)) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.putOut(g, wire.EndFrame{Reason: sess.EndRevoked, Message: sess.Public(err).Message})
			return nil
		}
		return err
	})
}

// Dismiss tells a participant why they are put out of a session, and closes their connection. It returns at once.
func (r *Relay) Dismiss(id sess.SessionID, num uint16, f wire.EndFrame) {
	r.mu.Lock()
	s := r.sessions[id]
	r.mu.Unlock()
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.guests {
		if g.num == num {
			s.putOut(g, f)
		}
	}
}

// putOut ends a participant who has to go: from now on they neither type nor moderate; the caller holds mu.
func (s *session) putOut(g *guest, f wire.EndFrame) {
	g.out = true
	s.stopTyping(g)
	s.endGuest(g, f)
	if g.role == sess.JoinModerator && s.end == nil {
		s.moderated()
	}
}

// endGuest says f to g ahead of anything that waits, and closes it. It does not wait.
func (s *session) endGuest(g *guest, f wire.EndFrame) {
	g.show.stop(f)
	time.AfterFunc(lastWords, g.conn.Close)
}

// cutGuests ends all guests' connections; the caller holds mu.
func (s *session) cutGuests(f wire.EndFrame) {
	for _, g := range s.guests {
		s.putOut(g, f)
	}
}

// closeGuests closes all guests' connections: they come back.
func (s *session) closeGuests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.guests {
		g.conn.Close()
	}
}
