package relay

import (
	"github.com/sessctl/sess/internal/wire"
)

// showScreen draws a terminal as it stands for a client that skips what led to it; the caller holds mu. Nothing moves
// meanwhile: nobody has gone yet.
func (s *session) showScreen(p *party) {
	screen, err := s.relay.dir.Screen(s.org, s.id)
	if err != nil {
		s.relay.log.Warn("draw screen", "session", s.id, "err", err)
		return
	}
	for len(screen) > 0 {
		n := min(len(screen), wire.MaxPayload)
		s.tell(p, wire.Screen, screen[:n])
		screen = screen[n:]
	}
}
