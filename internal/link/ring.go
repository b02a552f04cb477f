package link

// ring keeps the bytes [base, end) of a stream. It grows by doubling up to max and is used by one writer and, with
// views of disjoint parts, by readers; its owner's lock protects everything but the bytes of a view or a reservation.
type ring struct {
	buf       []byte
	start     int // index in buf of base
	base, end uint64
	max       int
	held      bool // a reservation is being filled: buf must stay
}

const ringMin = 4 << 10

func (r *ring) len() int { return int(r.end - r.base) } //nolint:gosec // at most max

// room is how many more bytes it may hold.
func (r *ring) room() int { return r.max - r.len() }

// reserve gives contiguous space behind end for up to want bytes (want > 0 and room() > 0), at least one. commit makes
// what was written there part of the stream.
func (r *ring) reserve(want int) []byte {
	want = min(want, r.room())
	if r.len() == 0 {
		r.start = 0 // stay where the caches are warm
	}
	if len(r.buf)-r.len() < want {
		r.grow(r.len() + want)
	}
	at := r.start + r.len()
	if at >= len(r.buf) {
		at -= len(r.buf)
		return r.buf[at:min(at+want, r.start)]
	}
	return r.buf[at:min(at+want, len(r.buf))]
}

func (r *ring) commit(n int) { r.end += uint64(n) } //nolint:gosec // n ≥ 0

// write appends as much of p as there is room for and returns how much that was.
func (r *ring) write(p []byte) int {
	total := 0
	for len(p) > 0 && r.room() > 0 {
		n := copy(r.reserve(len(p)), p)
		r.commit(n)
		p = p[n:]
		total += n
	}
	return total
}

// view gives up to n bytes from offset off on that lie contiguous.
func (r *ring) view(off uint64, n int) []byte {
	n = min(n, int(r.end-off))      //nolint:gosec // at most max
	at := r.start + int(off-r.base) //nolint:gosec // at most max
	if at >= len(r.buf) {
		at -= len(r.buf)
	}
	return r.buf[at:min(at+n, len(r.buf))]
}

// copyTo fills p from offset off on and returns how many bytes there were.
func (r *ring) copyTo(p []byte, off uint64) int {
	n := copy(p, r.view(off, len(p)))
	if n < len(p) && off+uint64(n) < r.end { //nolint:gosec // n ≥ 0
		n += copy(p[n:], r.view(off+uint64(n), len(p)-n)) //nolint:gosec // n ≥ 0
	}
	return n
}

// free forgets what lies below off.
func (r *ring) free(off uint64) {
	if off <= r.base {
		return
	}
	off = min(off, r.end)
	r.start += int(off - r.base) //nolint:gosec // at most max
	if r.start >= len(r.buf) {
		r.start -= len(r.buf)
	}
	r.base = off
	if r.base == r.end && !r.held && len(r.buf) > 64<<10 && r.max <= 256<<10 {
		r.buf, r.start = nil, 0 // a terminal that was busy gives its memory back
	}
}

// jump empties the ring and continues at off.
func (r *ring) jump(off uint64) { r.base, r.end, r.start = off, off, 0 }

func (r *ring) grow(need int) {
	size := max(len(r.buf), ringMin)
	for size < need {
		size *= 2
	}
	size = min(size, max(r.max, need))
	buf := make([]byte, size)
	if r.len() > 0 {
		r.copyTo(buf[:r.len()], r.base)
	}
	r.buf, r.start = buf, 0
}
