package link

import (
	"sync"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// guestInputs is what an agent takes of the participants beside the owner: a stream each, and one queue of whole frames in
// the order in which they came, so that nobody's key is torn apart by somebody else's.
type guestInputs struct {
	cond    sync.Cond // of the endpoint's mu, which protects the rest
	streams map[uint16]*guestInput
	queue   []guestFrame
}

// guestInput is the stream of one participant: everything below cons is written, below recv here.
type guestInput struct {
	recv, cons uint64
	due        bool // to be credited
}

type guestFrame struct {
	num  uint16
	data []byte
}

func (g *guestInput) limit() uint64 { return g.cons + wire.WindowGuest }

// guestData takes a frame of a participant in; the caller holds mu. What the session's relay lets through is bounded: the
// window for each of at most sess.MaxParticipants.
func (e *Endpoint) guestData(h wire.Header, p []byte) error {
	if !e.cfg.Guests || h.Channel != wire.ChannelMain || h.FIN() {
		return &protocolError{"data of a participant that is not wanted"}
	}
	g := e.guests.streams[h.Participant]
	if g == nil {
		if len(e.guests.streams) >= sess.MaxParticipants {
			return &protocolError{"too many participants"}
		}
		if e.guests.streams == nil {
			e.guests.streams = map[uint16]*guestInput{}
		}
		g = &guestInput{}
		e.guests.streams[h.Participant] = g
	}
	end := wire.Span(h, p)
	switch {
	case h.Offset > g.recv:
		return errGap("data of a participant", h.Offset, g.recv)
	case end <= g.recv:
		return nil
	case end > g.limit():
		return errLimit("data of a participant", end, g.limit())
	}
	p = p[g.recv-h.Offset:]
	g.recv = end
	e.progress++
	e.guests.queue = append(e.guests.queue, guestFrame{h.Participant, append([]byte(nil), p...)})
	e.guests.cond.Signal()
	return nil
}

// ReadGuests hands what participants beside the owner type to write, frame by frame in the order in which they came, until
// the endpoint is closed. A frame is consumed when write has returned, whatever it said.
func (e *Endpoint) ReadGuests(write func(num uint16, p []byte) error) error {
	for {
		e.mu.Lock()
		for len(e.guests.queue) == 0 && e.err == nil {
			e.guests.cond.Wait()
		}
		if e.err != nil {
			err := e.err
			e.mu.Unlock()
			return err
		}
		f := e.guests.queue[0]
		e.guests.queue = e.guests.queue[1:]
		e.mu.Unlock()
		err := write(f.num, f.data)
		e.mu.Lock()
		g := e.guests.streams[f.num]
		g.cons += uint64(len(f.data))
		g.due = true
		e.creditDue(false)
		e.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// states appends where the streams stand to a hello; the caller holds mu.
func (g *guestInputs) states(rs []wire.RecvState) []wire.RecvState {
	for num, s := range g.streams {
		s.due = true // credits were lost with the connection before
		rs = append(rs, wire.RecvState{StreamID: wire.StreamID{Channel: wire.ChannelMain, Participant: num}, Recv: s.recv, Consumed: s.cons, Limit: s.limit()})
	}
	return rs
}

// credits appends what is new of the streams' credit; the caller holds mu.
func (g *guestInputs) credits(cs []wire.StreamCredit) []wire.StreamCredit {
	for num, s := range g.streams {
		if s.due {
			s.due = false
			cs = append(cs, wire.StreamCredit{StreamID: wire.StreamID{Channel: wire.ChannelMain, Participant: num}, Consumed: s.cons, Limit: s.limit()})
		}
	}
	return cs
}

// guestHello says where the input of a client that is not the owner's stands; the caller holds mu.
func (e *Endpoint) guestHello(h wire.HelloFrame) wire.HelloFrame {
	for _, s := range e.out {
		h.Send = append(h.Send, wire.SendState{
			StreamID: wire.StreamID{Channel: s.ch, Participant: e.cfg.Participant}, Base: s.ring.base, Have: s.end(),
		})
	}
	return h
}
