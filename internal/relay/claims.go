package relay

import (
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Where a sender's stream begins is its own word, and what the record lacks before that is put down as missing. Of a client
// more is known: it lets go only of what the agent took, and the agent says how much that is. A client that says it let go of
// more would put gaps on record, and bytes into the sums, that never were.

// overreached reports whether the client and the agent have both said hello and the client claims to have let go of what
// the agent never took. Its hello counts for nothing then, and it is closed; the caller holds mu.
func (s *session) overreached() bool {
	c, a := s.parties[sideIndex(sess.SideClient)], s.parties[sideIndex(sess.SideAgent)]
	if c == nil || a == nil || c.hello == nil || a.hello == nil || c.went || c.hello.Fresh {
		return false
	}
	for _, st := range c.hello.Send {
		if took := received(a.hello, st.StreamID); st.Base > took {
			s.relay.log.Warn("protocol", "session", s.id, "side", c.side, "err",
				mistake("channel %d begins at %d, and the agent has %d", st.Channel, st.Base, took))
			c.hello = nil
			c.conn.Close()
			return true
		}
	}
	return false
}

// received gives up to where a receiver has a stream.
func received(h *wire.HelloFrame, id wire.StreamID) uint64 {
	for _, r := range h.Recv {
		if r.StreamID == id {
			return r.Recv
		}
	}
	return 0
}
