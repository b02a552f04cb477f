package relay

import (
	"sync/atomic"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// activity counts frames with bytes in them, for those who look now and then whether anything happened. Only the readers
// of the session's connections write it.
type activity struct {
	own   atomic.Uint64 // input of the owner
	typed atomic.Uint64 // from people: input, of the owner or of peers
	moved atomic.Uint64 // on any stream, either way
}

// note counts a frame of a side.
func (a *activity) note(side sess.Side, h wire.Header) {
	if h.Type != wire.Data {
		return
	}
	a.moved.Add(1)
	if side == sess.SideClient && h.Channel == wire.ChannelMain {
		a.own.Add(1)
		a.typed.Add(1)
	}
}

// peer counts a frame of input of somebody beside the owner.
func (a *activity) peer() {
	a.moved.Add(1)
	a.typed.Add(1)
}

// Activity gives how many frames of its owner's input, of anybody's, and of any bytes at all, passed in a session since it has a
// connection here. A session that has none anew counts from 0.
func (r *Relay) Activity(id sess.SessionID) (own, typed, moved uint64) {
	r.mu.Lock()
	s := r.sessions[id]
	r.mu.Unlock()
	if s == nil {
		return 0, 0, 0
	}
	return s.activity.own.Load(), s.activity.typed.Load(), s.activity.moved.Load()
}
