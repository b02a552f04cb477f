package relay

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// showQueue is how much output waits for a guest, in bytes: half of it being written, half behind. What is more is
// skipped, and the guest gets the screen as it stands then.
const showQueue = 256 << 10

// Between two screens for one guest who can't keep up pass at least redrawPause, and redrawShare times what it took to
// draw one: finding a screen costs the server more than the guest.
const (
	redrawPause = 250 * time.Millisecond
	redrawShare = 4
)

// shown is what a guest is still to be shown.
type shown struct {
	wake chan struct{} // of one

	mu    sync.Mutex // protects the following; held for copies in memory only
	fill  []byte     // frames, each behind its length in four bytes
	spare []byte     // what the writer is done with
	fresh bool       // the screen comes first, and everything in fill was recorded after it was asked for
	lost  uint64     // bytes that found no room
	last  *wire.EndFrame
	now   bool // last comes ahead of what waits

	// The relay's own words about what the guest types; of each the latest counts. They come ahead of all but last.
	ask, goOn, credit []byte
}

func (q *shown) init() {
	q.wake = make(chan struct{}, 1)
	q.fresh = true
	q.kick()
}

func (q *shown) kick() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// put queues a frame, or notes that there was no room.
func (q *shown) put(h wire.Header, payload []byte) {
	q.mu.Lock()
	n := wire.HeaderSize + len(payload)
	if q.lost > 0 || len(q.fill)+4+n > showQueue/2 {
		q.lost += uint64(len(payload))
		q.fill = q.fill[:0]
	} else {
		q.fill = binary.BigEndian.AppendUint32(q.fill, uint32(n)) //nolint:gosec // at most a frame
		var head [wire.HeaderSize]byte
		h.Put(head[:])
		q.fill = append(append(q.fill, head[:]...), payload...)
	}
	q.mu.Unlock()
	q.kick()
}

// say has a small frame of the relay's own written, in place of one of its type that waits. An ask makes what was said before
// it void.
func (q *shown) say(t wire.Type, payload []byte) {
	q.mu.Lock()
	switch t { //nolint:exhaustive // the others are output
	case wire.Ask:
		q.ask, q.goOn, q.credit = payload, nil, nil
	case wire.Go:
		q.goOn, q.credit = payload, nil
	case wire.Credit:
		q.credit = payload
	}
	q.mu.Unlock()
	q.kick()
}

// stop makes f the last thing that is said, ahead of what waits.
func (q *shown) stop(f wire.EndFrame) {
	q.mu.Lock()
	q.last, q.now = &f, true
	q.mu.Unlock()
	q.kick()
}

// finish makes f the last thing that is said, behind what waits.
func (q *shown) finish(f wire.EndFrame) {
	q.mu.Lock()
	if q.last == nil {
		q.last = &f
	}
	q.mu.Unlock()
	q.kick()
}

// taken is what the writer has to do next: the one field that is set.
type taken struct {
	word   wire.Type // with payload
	say    []byte
	frames []byte
	fresh  bool
	lost   uint64
	last   *wire.EndFrame
}

func (q *shown) take() taken {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.last != nil && q.now:
		return taken{last: q.last}
	case q.ask != nil:
		t := taken{word: wire.Ask, say: q.ask}
		q.ask = nil
		return t
	case q.goOn != nil:
		t := taken{word: wire.Go, say: q.goOn}
		q.goOn = nil
		return t
	case q.credit != nil:
		t := taken{word: wire.Credit, say: q.credit}
		q.credit = nil
		return t
	case q.fresh || q.lost > 0: // from here on everything is kept again, and what the screen shows already is left out
		t := taken{fresh: true, lost: q.lost}
		q.fresh, q.lost = false, 0
		return t
	case len(q.fill) > 0:
		t := taken{frames: q.fill}
		q.fill, q.spare = q.spare[:0], q.fill
		return t
	}
	return taken{last: q.last}
}

// showNew hands what is new of a frame, beyond what was on record before, to the guests; the caller holds mu.
func (s *session) showNew(side sess.Side, h wire.Header, payload []byte, had uint64) {
	if wire.Span(h, payload) <= had {
		return // sent again after a cut
	}
	if h.Type == wire.Data && h.Offset < had {
		payload = payload[min(had-h.Offset, uint64(len(payload))):]
		h.Offset = had
	}
	s.showAll(side, h, payload)
}

// showAll hands a frame that is on record now to every guest; the caller holds mu. A frame of the owner is of interest if it
// changes the terminal's size.
func (s *session) showAll(side sess.Side, h wire.Header, payload []byte) {
	switch {
	case h.Type == wire.Data && side == sess.SideAgent:
		if !recordOnly(side, wire.StreamID{Channel: h.Channel}) {
			for _, g := range s.guests {
				g.show.put(h, payload)
			}
		}
		if h.FIN() { // of what only the record takes, too
			s.exitToGuests()
		}
	case h.Type == wire.Ctl && side == sess.SideClient:
		kind, body, err := wire.DecodeCtl(payload)
		var size wire.Resize
		if err != nil || kind != wire.CtlResize || json.Unmarshal(body, &size) != nil {
			return
		}
		b := wire.AppendSize(nil, size.Cols, size.Rows)
		for _, g := range s.guests {
			g.show.put(wire.Header{Type: wire.Size}, b)
		}
	}
}

// exitToGuests tells guests that the session is over, once its status and all output are on record; the caller holds mu.
func (s *session) exitToGuests() {
	for _, g := range s.guests {
		s.sayExitTo(g)
	}
}

func (s *session) sayExitTo(g *guest) {
	if !s.exited || s.status == nil {
		return
	}
	for _, f := range s.finals {
		if j, _ := s.journal.End(sess.SideAgent, wire.StreamID{Channel: f.Channel}); j < f.Offset {
			return
		}
	}
	g.show.finish(wire.EndFrame{Reason: sess.EndExit, Exit: s.status})
}

// showTo writes to a guest what there is to show, until its connection is over.
func (s *session) showTo(g *guest) {
	var from uint64 // of the main channel: what lies below is on the guest's screen already
	var ready time.Time
	for {
		select {
		case <-g.show.wake:
		case <-g.gone:
			return
		}
		for more := true; more; {
			t := g.show.take()
			switch {
			case t.last != nil:
				b, _ := json.Marshal(t.last)
				_ = g.conn.Write(wire.Header{Type: wire.End}, b)
				<-g.gone // the guest closes, or endGuest does
				return
			case t.say != nil:
				if g.conn.Write(wire.Header{Type: t.word}, t.say) != nil {
					return
				}
			case t.fresh:
				if !wait(ready, g.gone) {
					return
				}
				began := time.Now()
				at, err := s.drawFor(g, t.lost)
				if err != nil {
					g.conn.Close()
					return
				}
				from = max(from, at)
				ready = time.Now().Add(max(redrawPause, redrawShare*time.Since(began)))
			case t.frames != nil:
				if writeFrames(g, t.frames, from) != nil {
					g.conn.Close()
					return
				}
			default:
				more = false
			}
		}
	}
}

// wait returns at t; false: gone was closed before.
func wait(t time.Time, gone <-chan struct{}) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-gone:
		return false
	}
}

// drawFor shows a guest the terminal as it stands, and up to where the output is in that. A session without a terminal has
// no screen: what was missed is missed.
func (s *session) drawFor(g *guest, lost uint64) (at uint64, err error) {
	if lost > 0 {
		text := fmt.Sprintf("your line was too slow: %d bytes of output are not shown; they are on record", lost)
		if err := g.conn.Write(wire.Header{Type: wire.Notice}, []byte(text)); err != nil {
			return 0, err
		}
	}
	if !s.terminal {
		return 0, nil
	}
	p, err := s.relay.dir.Present(s.org, s.id)
	if err != nil {
		s.relay.log.Warn("draw screen for a guest", "session", s.id, "participant", g.num, "err", err)
		return 0, nil
	}
	if err := g.conn.Write(wire.Header{Type: wire.Size}, wire.AppendSize(nil, p.Cols, p.Rows)); err != nil {
		return 0, err
	}
	for off := 0; off < len(p.Screen); {
		n := min(len(p.Screen)-off, wire.MaxPayload)
		if err := g.conn.Write(wire.Header{Type: wire.Screen, Offset: uint64(off)}, p.Screen[off:off+n]); err != nil {
			return 0, err
		}
		off += n
	}
	return p.Offset, nil
}

// writeFrames writes queued frames, without the bytes of the main channel below from.
func writeFrames(g *guest, frames []byte, from uint64) error {
	for len(frames) > 0 {
		n := binary.BigEndian.Uint32(frames)
		frame := frames[4 : 4+n]
		frames = frames[4+n:]
		h, payload, err := wire.Decode(frame)
		if err != nil {
			return fmt.Errorf("queued frame: %w", err)
		}
		if h.Type == wire.Data && h.Channel == wire.ChannelMain && h.Offset < from {
			cut := from - h.Offset
			if cut >= uint64(len(payload)) {
				continue
			}
			// The header moves up to the bytes that are left.
			frame = frame[cut:]
			h.Offset = from
			h.Put(frame)
		}
		if err := g.conn.WriteFrame(frame); err != nil {
			return err
		}
	}
	return nil
}
