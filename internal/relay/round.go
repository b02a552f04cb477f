package relay

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// replace makes p the connection of its side unless a newer one is there, and closes an older one without waiting for mu:
// a write that is stuck in it may hold that. One that is taken over has lastWords to hear of it.
func (s *session) replace(p *party, takeover bool) bool {
	slot := &s.conns[sideIndex(p.side)]
	for {
		old := slot.Load()
		if old != nil && old.gen >= p.gen {
			return false
		}
		if !slot.CompareAndSwap(old, p) {
			continue
		}
		switch {
		case old != nil && takeover:
			time.AfterFunc(lastWords, old.conn.Close)
		case old != nil:
			old.conn.Close()
		}
		return true
	}
}

// join takes p in. It reports false when p is not wanted after all.
func (s *session) join(p *party, j Join) bool {
	s.superseded(p, j.Takeover)
	s.mu.Lock()
	defer s.mu.Unlock()
	i := sideIndex(p.side)
	if s.end != nil || s.conns[i].Load() != p || p.side == sess.SideAgent && j.Epoch < s.epoch {
		return false
	}
	s.epoch = max(s.epoch, j.Epoch)
	s.ended = s.ended || j.Ended
	if old := s.parties[i]; old != nil {
		s.drop(old)
	}
	if o := s.parties[1-i]; o != nil && o.gen < j.OtherGen { // it holds a connection that is not the current one
		s.drop(o)
		o.conn.Close()
	}
	s.parties[i] = p
	s.need = max(s.need, j.Moderators)
	if p.side == sess.SideClient {
		s.settled = s.settled && s.lacked == 0 // an owner who comes is told what it waits for
	}
	if p.side == sess.SideClient {
		s.free = false
		if s.freeing != nil {
			s.freeing.Stop()
		}
	}
	_ = s.journal.Mark("join", map[string]any{"side": p.side, "epoch": s.epoch, "gen": p.gen})
	s.call(of(p.request, s.presence(p.side, true)))
	o := s.other(p)
	if j.First && s.round == 0 && len(s.flows) == 0 && (o == nil || o.initial) {
		p.initial = true
		p.timer = time.AfterFunc(helloTimeout, func() { s.late(p) })
		return true
	}
	s.newRound()
	return true
}

// superseded tells the client that p takes over from; replace closes it.
func (s *session) superseded(p *party, takeover bool) {
	s.mu.Lock()
	old := s.parties[sideIndex(p.side)]
	s.mu.Unlock()
	if old == nil || !takeover {
		return
	}
	b, _ := json.Marshal(wire.ErrorFrame{Code: sess.CodeSuperseded, Message: "taken over from elsewhere"})
	_ = old.conn.Write(wire.Header{Type: wire.Error}, b)
}

// drop takes p out of the session; the caller holds mu.
func (s *session) drop(p *party) {
	i := sideIndex(p.side)
	if s.parties[i] == p {
		s.parties[i] = nil
		if p.side == sess.SideAgent {
			s.guestsStop()
		}
	}
	p.went, p.hello = false, nil
	if p.timer != nil {
		p.timer.Stop()
	}
	p.release()
}

// newRound asks everyone where they stand; the caller holds mu.
func (s *session) newRound() {
	s.round++
	round := s.round
	s.guestsStop()
	for i, p := range s.parties {
		if p == nil {
			continue
		}
		p.hello, p.went, p.initial = nil, false, false
		p.release()
		if p.timer != nil {
			p.timer.Stop()
		}
		p.timer = time.AfterFunc(helloTimeout, func() { s.late(p) })
		s.tell(p, wire.Ask, wire.AppendAsk(nil, wire.AskFrame{Epoch: s.epoch, Round: round, PeerHere: s.parties[1-i] != nil}))
	}
	for _, f := range s.flows {
		f.known = false
	}
}

// late closes a side that did not say hello in time.
func (s *session) late(p *party) {
	s.mu.Lock()
	gone := p.hello == nil && s.parties[sideIndex(p.side)] == p
	s.mu.Unlock()
	if gone {
		p.conn.Close()
	}
}

// tell writes a small frame of the relay's own; the caller holds mu. A failure shows at the reader.
func (s *session) tell(p *party, t wire.Type, payload []byte) {
	_ = p.conn.Write(wire.Header{Type: t}, payload)
}

// hello takes a side's word of where it stands; the caller holds mu.
func (s *session) hello(p *party, payload []byte) error {
	h, err := wire.DecodeHello(payload)
	if err != nil {
		return err
	}
	if len(s.flows)+len(h.Send) > maxFlows {
		return mistake("more than %d streams in one session", maxFlows)
	}
	if p.side == sess.SideAgent && len(h.Exit) > 0 {
		s.stateExit(h.Exit)
	}
	if p.initial {
		if h.Round != 0 || p.hello != nil {
			return fmt.Errorf("%w: hello of round %d on a first connection", wire.ErrPayload, h.Round)
		}
		p.hello = &h
		if o := s.other(p); o != nil && o.hello != nil {
			if !s.mayRun() {
				s.newRound()
				return nil
			}
			s.begin()
		}
		return nil
	}
	if h.Round != uint64(s.round) || h.Epoch != s.epoch || p.hello != nil {
		return nil // of a round that is over
	}
	p.hello = &h
	s.tryGo()
	return nil
}

// begin starts a session whose two sides stand at 0: they have sent already, and no go is needed. The caller holds mu.
func (s *session) begin() {
	for i, p := range s.parties {
		o := s.parties[1-i]
		for _, st := range p.hello.Send {
			f := s.flow(p.side, st.StreamID)
			f.sentC, f.sentL = 0, wire.FirstRoundLimit
			if st.Channel == wire.ChannelCtl {
				f.sentL = wire.MaxCtlUnacked
			}
			if recordOnly(p.side, st.StreamID) {
				f.known, f.C, f.L = true, everything, everything
			}
			for _, r := range o.hello.Recv {
				if r.StreamID == st.StreamID && f.C != everything {
					f.known, f.C, f.L = true, r.Consumed, r.Limit
				}
			}
		}
		p.went = true
	}
	for _, p := range s.parties {
		p.initial = false
		s.pushCredits(p)
		p.timer.Stop()
		p.release()
	}
	s.guestsGo(s.parties[sideIndex(sess.SideAgent)])
}

// tryGo lets go who can; the caller holds mu.
func (s *session) tryGo() {
	if !s.mayRun() || s.overreached() {
		return // it stands still
	}
	for i, p := range s.parties {
		if p == nil || p.hello == nil || p.went {
			continue
		}
		o := s.parties[1-i]
		if o != nil && o.hello == nil || o == nil && p.side == sess.SideClient {
			continue
		}
		if err := s.letGo(p, o); err != nil {
			s.unrecorded(err)
			s.relay.log.Error("continue session", "session", s.id, "err", err)
			p.conn.Close() // it comes back and tries again
		}
	}
}

// letGo tells p how to continue. With the other side here both are told in one call of tryGo, from the same hellos. The
// caller holds mu.
func (s *session) letGo(p, o *party) error {
	g := wire.GoFrame{Epoch: s.epoch, Round: uint64(s.round), PeerHere: o != nil}
	for _, st := range p.hello.Send {
		sg, err := s.sendGo(p, o, st)
		if err != nil {
			return err
		}
		g.Send = append(g.Send, sg)
	}
	if o != nil {
		for _, st := range o.hello.Send {
			if recordOnly(o.side, st.StreamID) {
				continue
			}
			recv, _, _, jump, err := s.receiver(o, p, st)
			if err != nil {
				return err
			}
			g.Recv = append(g.Recv, wire.RecvGo{StreamID: st.StreamID, Start: recv})
			if jump {
				s.showScreen(p)
			}
		}
	}
	p.went = true
	p.timer.Stop()
	s.tell(p, wire.Go, wire.AppendGo(nil, g))
	if p.side == sess.SideAgent {
		if s.exited {
			s.tell(p, wire.ExitOK, nil)
		}
		if s.done {
			s.tell(p, wire.Done, nil)
		}
		if o == nil {
			s.awayTimer()
		}
		s.guestsGo(p)
	}
	return nil
}

// base is where what a sender still holds begins; a fresh client continues where the agent stands. The caller holds mu.
func (s *session) base(p, o *party, st wire.SendState) uint64 {
	if !p.hello.Fresh {
		return st.Base
	}
	if o != nil {
		for _, r := range o.hello.Recv {
			if r.StreamID == st.StreamID {
				return r.Recv
			}
		}
	}
	return 0
}

// journalled gives J of a stream that p sends, after starting a new run where the journal lacks what came before. The
// caller holds mu.
func (s *session) journalled(p *party, id wire.StreamID, base uint64) (uint64, error) {
	j, _ := s.journal.End(p.side, id)
	if j >= base {
		return j, nil
	}
	if err := s.journal.StartRun(p.side, id, base); err != nil {
		return 0, fmt.Errorf("begin run: %w", err)
	}
	return base, nil
}

// receiver gives where o stands in a stream that p sends: received, consumed, limit; and whether it skips what is on
// record already and is shown the screen instead. The caller holds mu.
func (s *session) receiver(p, o *party, st wire.SendState) (recv, cons, limit uint64, jump bool, err error) {
	base := s.base(p, o, st)
	j, err := s.journalled(p, st.StreamID, base)
	if err != nil {
		return 0, 0, 0, false, err
	}
	window := s.windowOf(st.StreamID)
	screen := s.terminal && o.side == sess.SideClient && st.Channel == wire.ChannelMain
	for _, r := range o.hello.Recv {
		if r.StreamID != st.StreamID {
			continue
		}
		switch {
		case o.hello.Fresh && screen, screen && r.Recv < base:
			return j, j, j + window, true, nil
		case o.hello.Fresh, r.Recv < base:
			return base, base, base + window, false, nil
		default:
			return r.Recv, r.Consumed, r.Limit, false, nil
		}
	}
	return 0, 0, 0, false, fmt.Errorf("%w: %s does not receive channel %d", wire.ErrPayload, o.side, st.Channel)
}

// sendGo continues one stream that p sends; the caller holds mu.
func (s *session) sendGo(p, o *party, st wire.SendState) (wire.SendGo, error) {
	base := s.base(p, o, st)
	j, err := s.journalled(p, st.StreamID, base)
	if err != nil {
		return wire.SendGo{}, err
	}
	f := s.flow(p.side, st.StreamID)
	g := wire.SendGo{StreamID: st.StreamID}
	if o == nil {
		f.known, f.sentC, f.sentL = false, base, everything
		g.From, g.Free = max(j, base), base
		if s.done || s.free || recordOnly(p.side, st.StreamID) {
			s.sendAlone(f, &g, base, j)
		}
		return g, nil
	}
	if recordOnly(p.side, st.StreamID) {
		g.From = max(j, base)
		s.sendAlone(f, &g, base, j)
		return g, nil
	}
	recv, cons, limit, _, err := s.receiver(p, o, st)
	if err != nil {
		return g, err
	}
	g.From = max(base, min(recv, j))
	g.Free = max(base, min(cons, j))
	g.Limit = min(limit, j+s.windowOf(f.id))
	f.known, f.C, f.L = true, cons, limit
	f.sentC, f.sentL = g.Free, g.Limit
	return g, nil
}

// windowOf is how far a sender may be ahead of the record.
func (s *session) windowOf(id wire.StreamID) uint64 {
	if id.Channel == wire.ChannelCtl {
		return wire.MaxCtlUnacked
	}
	return s.window
}
