package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// protocolError is a mistake of the side that sent the frame: its connection is closed, the session goes on.
type protocolError struct{ msg string }

// Error implements error.
func (e *protocolError) Error() string { return e.msg }

func mistake(format string, args ...any) error { return &protocolError{fmt.Sprintf(format, args...)} }

// read is the reader of p's connection, until that ends.
func (s *session) read(p *party) error {
	for {
		frame, err := p.conn.ReadFrame()
		if err != nil {
			return err
		}
		h, payload, err := wire.Decode(frame)
		if err == nil {
			err = s.handle(p, h, payload, frame)
		}
		if err == nil {
			continue
		}
		var pe *protocolError
		if errors.As(err, &pe) || errors.Is(err, wire.ErrPayload) {
			s.relay.log.Warn("protocol", "session", s.id, "side", p.side, "err", err)
			b, _ := json.Marshal(wire.ErrorFrame{Code: sess.CodeInvalid, Message: err.Error()})
			_ = p.conn.Write(wire.Header{Type: wire.Error}, b)
			p.conn.Drain(lastWords)
		}
		return err
	}
}

// handle acts on one frame of p.
func (s *session) handle(p *party, h wire.Header, payload, frame []byte) error {
	switch h.Type {
	case wire.Data, wire.Ctl:
		return s.forward(p, h, payload, frame)
	case wire.Hello:
		s.mu.Lock()
		err := s.hello(p, payload)
		s.mu.Unlock()
		if err == nil {
			s.hold(p)
		}
		return err
	case wire.Credit:
		return s.credit(p, payload)
	case wire.ExitStatement:
		if p.side != sess.SideAgent || len(payload) > wire.MaxExit {
			return mistake("an exit statement of %d bytes from the %s", len(payload), p.side)
		}
		s.mu.Lock()
		s.stateExit(payload)
		s.mu.Unlock()
		return nil
	case wire.Done:
		if p.side != sess.SideClient {
			return mistake("done from the agent")
		}
		s.allDone(p)
		return nil
	case wire.Away:
		if p.side != sess.SideClient {
			return mistake("away from the agent")
		}
		s.detach()
		return nil
	case wire.Beat:
		return nil
	case wire.Error:
		var f wire.ErrorFrame
		_ = json.Unmarshal(payload, &f)
		return fmt.Errorf("the %s says: %.200q", p.side, f.Message)
	default:
		if !h.Type.Skip() {
			return mistake("%v from the %s", h.Type, p.side)
		}
		if c := s.peerOf(p); c != nil {
			return ignore(c.WriteFrame(frame))
		}
		return nil
	}
}

// hold leaves an early side unread until the other is there too: what it sent behind its hello waits in the socket.
func (s *session) hold(p *party) {
	s.mu.Lock()
	wait := p.initial && !p.went
	s.mu.Unlock()
	if wait {
		<-p.ready
	}
}

// peerOf gives the connection that p's frames go to now, nil when they go nowhere.
func (s *session) peerOf(p *party) *link.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.other(p); p.went && o != nil && o.went {
		return o.conn
	}
	return nil
}

// forward records a frame and sends it on. Frames that a side sent before its go are dropped: they come again.
func (s *session) forward(p *party, h wire.Header, payload, frame []byte) error {
	s.mu.Lock()
	to, err := s.record(p, h, payload)
	s.mu.Unlock()
	if err != nil || to == nil {
		return err
	}
	return ignore(to.WriteFrame(frame))
}

// ignore drops the error of a write to the other side: that side's reader sees it, and this side goes on.
func ignore(error) error { return nil }

// record appends a frame to the journal and says where it goes; the caller holds mu.
func (s *session) record(p *party, h wire.Header, payload []byte) (*link.Conn, error) {
	o := s.other(p)
	if !p.went || s.parties[sideIndex(p.side)] != p || p.side == sess.SideClient && o == nil {
		return nil, nil
	}
	if h.Participant != 0 {
		return nil, mistake("input for participant %d", h.Participant)
	}
	f := s.known(p.side, wire.StreamID{Channel: h.Channel})
	if f == nil {
		return nil, mistake("channel %d, which is not in its hello", h.Channel)
	}
	end := wire.Span(h, payload)
	if h.FIN() {
		end-- // the FIN is exempt from the limit
	}
	if end > f.sentL {
		return nil, mistake("channel %d up to offset %d, limit is %d", h.Channel, end, f.sentL)
	}
	var had uint64
	if len(s.guests) > 0 {
		had, _ = s.journal.End(p.side, f.id)
	}
	err := s.journal.Append(p.side, h, payload)
	if errors.Is(err, recording.ErrGap) {
		return nil, mistake("channel %d: %v", h.Channel, err)
	}
	if errors.Is(err, recording.ErrDiffers) {
		side := p.side
		s.call(func(ctx context.Context) error {
			return s.current(ctx, func(epoch uint64) error {
				return s.relay.broker.Failed(ctx, s.org, s.id, epoch, sess.EndTampered, fmt.Sprintf("the %s sent channel %d again with other bytes", side, h.Channel))
			})
		})
	}
	if err != nil {
		s.unrecorded(err)
		return nil, fmt.Errorf("record: %w", err)
	}
	s.activity.note(p.side, h)
	if len(s.guests) > 0 {
		s.showNew(p.side, h, payload, had)
	}
	if f.C == everything {
		s.creditAlone(p, f, h.FIN())
	}
	if recordOnly(p.side, f.id) {
		return nil, nil
	}
	if o == nil || !o.went {
		return nil, nil
	}
	return o.conn, nil
}
