package relay

import (
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// maxNotices bounds the lines that wait for an owner whose terminal takes nothing; more are not shown.
const maxNotices = 32

// Notice shows the owner of a session a line, if they are connected. It returns at once: lines of one session are written one
// after the other, beside everything else.
func (r *Relay) Notice(id sess.SessionID, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sessions[id]
	if s == nil || s.users == 0 || r.closed {
		return
	}
	s.noticing.Lock()
	defer s.noticing.Unlock()
	if len(s.notices) >= maxNotices {
		return
	}
	s.notices = append(s.notices, text[:min(len(text), wire.MaxNotice)])
	if len(s.notices) > 1 {
		return // whoever writes the first writes this one too
	}
	s.users++
	r.joins.Add(1)
	go func() {
		defer r.leave(s)
		s.writeNotices()
	}()
}

// writeNotices writes the lines that wait, until there is none.
func (s *session) writeNotices() {
	for {
		s.noticing.Lock()
		text := s.notices[0]
		s.noticing.Unlock()
		if c := s.conns[sideIndex(sess.SideClient)].Load(); c != nil {
			_ = c.conn.Write(wire.Header{Type: wire.Notice}, []byte(text))
		}
		s.noticing.Lock()
		s.notices = s.notices[1:]
		done := len(s.notices) == 0
		s.noticing.Unlock()
		if done {
			return
		}
	}
}
