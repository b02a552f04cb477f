package relay

import (
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// credit takes the word of p, a receiver, and passes it on to the sender, never beyond what is recorded.
func (s *session) credit(p *party, payload []byte) error {
	var list [8]wire.StreamCredit
	cs, err := wire.DecodeCredit(payload, list[:0])
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.went {
		return nil // said before its go: it says it again
	}
	o := s.other(p)
	for _, c := range cs {
		if c.Participant != 0 && p.side == sess.SideAgent {
			if err := s.guestCredit(c); err != nil {
				return err
			}
			continue
		}
		f := s.known(opposite(p.side), c.StreamID)
		if f == nil {
			continue // of a stream that nobody sends: nothing is kept for it
		}
		j, _ := s.journal.End(f.sender, f.id)
		if c.Consumed > j {
			return mistake("credit for channel %d up to %d, sent is %d", c.Channel, c.Consumed, j)
		}
		if c.Limit-c.Consumed > wire.MaxWindow {
			return mistake("a window of %d bytes", c.Limit-c.Consumed)
		}
		if f.C == everything {
			continue
		}
		f.C, f.L = max(f.C, c.Consumed), max(f.L, c.Limit)
	}
	if o != nil && o.went {
		s.pushCredits(o)
	}
	return nil
}

// pushCredits tells p, a sender, what is new of its streams' credit; the caller holds mu.
func (s *session) pushCredits(p *party) {
	var list [8]wire.StreamCredit
	cs := list[:0]
	for _, f := range s.flows {
		if f.sender == p.side && f.known {
			if c, ok := s.clamp(f); ok {
				cs = append(cs, c)
			}
		}
	}
	if len(cs) > 0 {
		s.tell(p, wire.Credit, wire.AppendCredit(nil, cs...))
	}
}

// clamp gives what the sender of f may be told beyond what it knows: consumed up to what is recorded, and a limit of no
// more than a window beyond it; the caller holds mu.
func (s *session) clamp(f *flow) (wire.StreamCredit, bool) {
	j, _ := s.journal.End(f.sender, f.id)
	c, l := max(f.sentC, min(f.C, j)), max(f.sentL, min(f.L, j+s.windowOf(f.id)))
	if c == f.sentC && l == f.sentL {
		return wire.StreamCredit{}, false
	}
	f.sentC, f.sentL = c, l
	return wire.StreamCredit{StreamID: f.id, Consumed: c, Limit: l}, true
}

// creditAlone credits a stream that only the record takes: now and then while it flows, at once when it ends or when
// nobody will ever come for it; the caller holds mu.
func (s *session) creditAlone(p *party, f *flow, fin bool) {
	j, _ := s.journal.End(f.sender, f.id)
	if !fin && !s.done && f.id.Channel != wire.ChannelCtl && j-f.sentC < s.window/4 {
		return
	}
	if c, ok := s.clamp(f); ok {
		s.tell(p, wire.Credit, wire.AppendCredit(nil, c))
	}
}
