package relay

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// What a peer types is a stream of its own, (main, participant), with rounds of its own: a peer who comes, goes or stalls
// moves nobody else. Its round begins when the agent has its go, and ends with the agent's. Nothing is written to a guest
// with mu held.

// guestRound is where a guest's connection stands; session.mu protects it.
type guestRound struct {
	round uint32
	hello *wire.HelloFrame
	went  bool // it may type
}

// typist is the input stream of one participant, over all connections.
type typist struct {
	pass sync.Mutex // held from the record to the agent's socket, so that frames arrive in order

	// Protected by session.mu.
	recv  uint64 // what the agent has, or was sent on its present connection
	C, L  uint64 // consumed and limit as the agent says
	sentL uint64
	sentC uint64
}

// typist finds or makes the stream of a participant; the caller holds mu.
func (s *session) typist(num uint16) *typist {
	t := s.typists[num]
	if t == nil {
		t = &typist{L: wire.WindowGuest}
		if s.typists == nil {
			s.typists = map[uint16]*typist{}
		}
		s.typists[num] = t
		if a := s.parties[sideIndex(sess.SideAgent)]; a != nil && a.hello != nil {
			t.continued(a.hello, num)
		}
	}
	return t
}

// continued takes over where the agent stands.
func (t *typist) continued(h *wire.HelloFrame, num uint16) {
	t.recv, t.C, t.L = 0, 0, wire.WindowGuest
	for _, r := range h.Recv {
		if r.StreamID == guestStream(num) {
			t.recv, t.C, t.L = r.Recv, r.Consumed, r.Limit
		}
	}
}

func guestStream(num uint16) wire.StreamID {
	return wire.StreamID{Channel: wire.ChannelMain, Participant: num}
}

// guestsGo lets peers type when the agent has its go; the caller holds mu.
func (s *session) guestsGo(agent *party) {
	for num, t := range s.typists {
		t.continued(agent.hello, num)
	}
	for _, g := range s.guests {
		s.askGuest(g)
	}
}

// guestsStop keeps peers from typing until the agent's next go; the caller holds mu.
func (s *session) guestsStop() {
	for _, g := range s.guests {
		s.stopTyping(g)
	}
}

// stopTyping has what still comes of g dropped; the caller holds mu.
func (s *session) stopTyping(g *guest) { g.typing.went, g.typing.hello = false, nil }

// askGuest asks a peer where it stands, if the agent can go on; the caller holds mu.
func (s *session) askGuest(g *guest) {
	a := s.parties[sideIndex(sess.SideAgent)]
	if g.out || !g.role.Types() || a == nil || !a.went {
		return
	}
	s.stopTyping(g)
	g.typing.round++
	g.show.say(wire.Ask, wire.AppendAsk(nil, wire.AskFrame{Epoch: s.epoch, Round: g.typing.round, PeerHere: true}))
}

// guestHello takes a peer's word of where it stands, and lets it type.
func (s *session) guestHello(g *guest, payload []byte) error {
	h, err := wire.DecodeHello(payload)
	if err != nil {
		return err
	}
	if !g.role.Types() {
		return nil
	}
	if len(h.Send) != 1 || h.Send[0].StreamID != guestStream(g.num) {
		return mistake("the hello of participant %d is about other streams than its own", g.num)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if uint64(g.typing.round) != h.Round || h.Epoch != s.epoch || g.typing.hello != nil || g.out || !slices.Contains(s.guests, g) {
		return nil // of a round that is over
	}
	if a := s.parties[sideIndex(sess.SideAgent)]; a == nil || !a.went {
		return nil
	}
	g.typing.hello = &h
	return s.letType(g, h.Send[0])
}

// letType tells a peer how to continue; the caller holds mu.
func (s *session) letType(g *guest, st wire.SendState) error {
	t := s.typist(g.num)
	if st.Base > t.recv { // see claims.go; the agent would take what follows for a mistake of ours
		return mistake("participant %d begins at %d, and the agent has %d", g.num, st.Base, t.recv)
	}
	j, _ := s.journal.End(sess.SideClient, st.StreamID)
	if j < st.Base {
		if err := s.journal.StartRun(sess.SideClient, st.StreamID, st.Base); err != nil {
			return fmt.Errorf("begin run: %w", err)
		}
		j = st.Base
	}
	sg := wire.SendGo{StreamID: st.StreamID, From: max(st.Base, min(t.recv, j)), Free: max(st.Base, min(t.C, j)), Limit: min(t.L, j+wire.WindowGuest)}
	t.recv, t.sentC, t.sentL = sg.From, sg.Free, sg.Limit
	g.typing.went = true
	g.show.say(wire.Go, wire.AppendGo(nil, wire.GoFrame{
		Epoch: s.epoch, Round: uint64(g.typing.round), PeerHere: true, Send: []wire.SendGo{sg},
	}))
	return nil
}

// typed records what a participant typed and passes it on.
func (s *session) typed(g *guest, h wire.Header, payload, frame []byte) error {
	switch {
	case !g.role.Types():
		return mistake("input of an %s", g.role)
	case h.Participant != g.num || h.Channel != wire.ChannelMain || h.FIN():
		return mistake("input on channel %d for participant %d", h.Channel, h.Participant)
	}
	s.mu.Lock()
	t := s.typist(g.num)
	s.mu.Unlock()
	t.pass.Lock()
	defer t.pass.Unlock()
	s.mu.Lock()
	to, err := s.recordTyped(g, t, h, payload)
	s.mu.Unlock()
	if err != nil || to == nil {
		return err
	}
	return ignore(to.conn.WriteFrame(frame))
}

// recordTyped appends what a peer typed to the journal and says where it goes; the caller holds mu.
func (s *session) recordTyped(g *guest, t *typist, h wire.Header, payload []byte) (*party, error) {
	a := s.parties[sideIndex(sess.SideAgent)]
	if !g.typing.went || a == nil || !a.went || !slices.Contains(s.guests, g) {
		return nil, nil
	}
	end := wire.Span(h, payload)
	switch {
	case end > t.sentL:
		return nil, mistake("participant %d up to offset %d, limit is %d", g.num, end, t.sentL)
	case h.Offset > t.recv:
		return nil, mistake("participant %d at offset %d, %d was next", g.num, h.Offset, t.recv)
	}
	err := s.journal.Append(sess.SideClient, h, payload)
	if errors.Is(err, recording.ErrGap) || errors.Is(err, recording.ErrDiffers) {
		return nil, mistake("participant %d: %v", g.num, err)
	}
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	t.recv = max(t.recv, end)
	s.activity.peer()
	return a, nil
}

// guestCredit takes the agent's word about a peer's stream and passes it on; the caller holds mu.
func (s *session) guestCredit(c wire.StreamCredit) error {
	t := s.typists[c.Participant]
	if t == nil || c.Channel != wire.ChannelMain {
		return nil
	}
	j, _ := s.journal.End(sess.SideClient, c.StreamID)
	if c.Consumed > j || c.Limit-c.Consumed > wire.MaxWindow {
		return mistake("credit for participant %d from %d to %d, sent is %d", c.Participant, c.Consumed, c.Limit, j)
	}
	t.C, t.L = max(t.C, c.Consumed), max(t.L, c.Limit)
	for _, g := range s.guests {
		if g.num != c.Participant || !g.typing.went {
			continue
		}
		t.sentC, t.sentL = max(t.sentC, min(t.C, j)), max(t.sentL, min(t.L, j+wire.WindowGuest))
		g.show.say(wire.Credit, wire.AppendCredit(nil, wire.StreamCredit{StreamID: c.StreamID, Consumed: t.sentC, Limit: t.sentL}))
	}
	return nil
}

// peerHere reports whether somebody else than the owner may type; the caller holds mu.
func (s *session) peerHere() bool {
	return slices.ContainsFunc(s.guests, func(g *guest) bool { return g.role.Types() && !g.out })
}
