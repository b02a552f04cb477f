package relay

import (
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// recordOnly reports whether a stream goes into the record and nowhere else: no side receives it, and its credit is what
// the journal has. An agent may send such a stream because its offer asked for it; older relays do not ask.
func recordOnly(sender sess.Side, id wire.StreamID) bool {
	return sender == sess.SideAgent && (id.Channel == wire.ChannelPrograms || id.Channel == wire.ChannelEchoed)
}

// sendAlone continues a stream that only the record takes: of what is journalled nothing need be kept. The caller holds mu.
func (s *session) sendAlone(f *flow, g *wire.SendGo, base, j uint64) {
	f.known, f.C, f.L = true, everything, everything
	g.Free, g.Limit = max(base, j), j+s.windowOf(f.id)
	f.sentC, f.sentL = g.Free, g.Limit
}
