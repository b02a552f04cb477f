package recording

import (
	"bytes"
	"cmp"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/sessctl/sess/internal/wire"
)

// After a cut a sender repeats what the other end may not have: bytes that are on record already. They must be the same
// bytes, or somebody altered them on the way, and then the record and what people saw would differ.

// overlap holds what is on record of one stream while its sender repeats it.
type overlap struct {
	from   uint64 // pieces are complete from here, as far as they can be read
	pieces []piece
}

// piece is a recorded frame: its bytes begin at off, end lies behind them and behind the FIN, if it has one.
type piece struct {
	off, end uint64
	payload  []byte
}

// maxOverlap bounds how far back a repetition is compared, in offsets: no sender keeps more than its window.
const maxOverlap = wire.MaxWindow

// same compares the part of a frame that is on record already with the record. What can't be read any more is not
// compared. mu is held.
func (j *Journal) same(key streamKey, h wire.Header, payload []byte, have uint64) error {
	o := j.overlaps[key]
	if o == nil || h.Offset < o.from {
		o = &overlap{from: h.Offset}
		if have-h.Offset <= maxOverlap {
			o.pieces = j.recorded(key, h.Offset)
		}
		if j.overlaps == nil {
			j.overlaps = make(map[streamKey]*overlap)
		}
		j.overlaps[key] = o
	}
	if !o.matches(h, payload) {
		return fmt.Errorf("session %s: %w: channel %d, at %d", j.meta.Session, ErrDiffers, h.Channel, h.Offset)
	}
	if wire.Span(h, payload) >= have {
		delete(j.overlaps, key)
	}
	return nil
}

func (o *overlap) matches(h wire.Header, payload []byte) bool {
	end := wire.Span(h, payload)
	i, _ := slices.BinarySearchFunc(o.pieces, h.Offset, func(p piece, off uint64) int { return cmp.Compare(p.end, off+1) })
	for _, p := range o.pieces[i:] {
		if p.off >= end {
			break
		}
		if h.Type == wire.Ctl {
			if p.off != h.Offset || !bytes.Equal(p.payload, payload) {
				return false
			}
			continue
		}
		from, to := max(p.off, h.Offset), min(p.end, end)
		a, aFIN := part(p.off, p.payload, from, to)
		b, bFIN := part(h.Offset, payload, from, to)
		if !bytes.Equal(a, b) || aFIN != bFIN {
			return false
		}
	}
	return true
}

// part gives the bytes of b, which begins at off, from offset from up to to; fin says that to lies behind the bytes, on
// the FIN.
func part(off uint64, b []byte, from, to uint64) (p []byte, fin bool) {
	n := uint64(len(b))
	return b[min(from-off, n):min(to-off, n)], to-off > n
}

// recorded gives the frames of a stream from an offset on, as far as they can be read. mu is held, so no ring file is
// freed meanwhile.
func (j *Journal) recorded(key streamKey, from uint64) []piece {
	segs := j.ringSegments()
	if len(segs) == 0 || segs[0].check.streams[key] > from {
		lowest := j.at.number
		if len(segs) > 0 {
			lowest = segs[0].check.number
		}
		segs = append(j.chainSegments(key, from, lowest), segs...)
	}
	var ps []piece
	for _, s := range segs {
		for {
			r, err := s.next()
			if err != nil {
				break
			}
			id := wire.StreamID{Channel: r.Header.Channel, Participant: r.Header.Participant}
			end := wire.Span(r.Header, r.Payload)
			if r.Kind == KindFrame && keyOf(r.Side, id) == key && end > from {
				ps = append(ps, piece{off: r.Header.Offset, end: end, payload: r.Payload})
			}
		}
	}
	return ps
}

// ringSegments opens what the ring holds, in order, and where nothing else can be read what it held before, too. mu is held.
func (j *Journal) ringSegments() []*segment {
	return readRing(j.path, func(i int) bool { s := &j.ring[i]; return s.busy || s.f != nil && j.ringAlone() })
}

// readRing opens those of the ring's files that are wanted and hold a segment, in order.
func readRing(path string, want func(i int) bool) []*segment {
	var segs []*segment
	for i := range ringFiles {
		if !want(i) {
			continue
		}
		b, err := readBounded(filepath.Join(path, ringName(i)), MaxSegmentBytes)
		if err != nil {
			continue
		}
		if s, err := openSegment(b); err == nil {
			segs = append(segs, s)
		}
	}
	slices.SortFunc(segs, func(a, b *segment) int { return cmp.Compare(a.check.number, b.check.number) })
	return segs
}

// chainSegments opens the segments below number that are needed to have the stream from an offset on.
func (j *Journal) chainSegments(key streamKey, from, number uint64) []*segment {
	_, raw, err := readMeta(j.path, j.meta.Org, j.meta.Session)
	if err != nil {
		return nil
	}
	c, err := readChain(j.path, &j.meta, raw)
	if err != nil {
		return nil
	}
	o, err := newOpener(&j.meta, nil)
	if err != nil {
		return nil
	}
	defer o.close()
	var segs []*segment
	for i := len(c.links) - 1; i >= 0; i-- {
		if c.links[i].N >= number {
			continue
		}
		s, err := o.load(j.path, &c.links[i])
		if err != nil {
			break
		}
		segs = append(segs, s)
		if s.check.streams[key] <= from || len(segs) > maxOverlap/MinSegmentBytes {
			break
		}
	}
	slices.Reverse(segs)
	return segs
}
