package server

import (
	"net/netip"
	"sync"
	"time"
)

// How often one address may call operations that need no login. Passwords are guessed through the first kind; the
// second serves enrolments and resumes, of which a whole network behind one address may make many at once.
const (
	passwordBurst, passwordPerSecond = 20, 1
	publicBurst, publicPerSecond     = 400, 100
	maxBuckets                       = 1 << 16 // addresses remembered
)

// rateLimiter is a token bucket for each address.
type rateLimiter struct {
	burst, perSecond float64
	// free is not limited: this machine itself, which a proxy in front may be. nil: nobody is.
	free func(netip.Addr) bool

	mu      sync.Mutex // protects the following
	buckets map[netip.Addr]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

func newRateLimiter(burst, perSecond float64) *rateLimiter {
	return &rateLimiter{burst: burst, perSecond: perSecond, buckets: map[netip.Addr]bucket{}}
}

// allow takes one from the bucket of addr, or says how long until there is one.
func (r *rateLimiter) allow(addr netip.Addr, now time.Time) (wait time.Duration, ok bool) {
	if r.free != nil && r.free(addr) {
		return 0, true
	}
	addr = network(addr)
	r.mu.Lock()
	defer r.mu.Unlock()
	b, seen := r.buckets[addr]
	if !seen {
		r.makeRoom(now)
		b = bucket{left: r.burst, at: now}
	}
	b.left = min(r.burst, b.left+now.Sub(b.at).Seconds()*r.perSecond)
	b.at = now
	if b.left < 1 {
		r.buckets[addr] = b
		return time.Duration((1 - b.left) / r.perSecond * float64(time.Second)), false
	}
	b.left--
	r.buckets[addr] = b
	return 0, true
}

// makeRoom forgets buckets that are full again, and when that is not enough, whichever come first: an attacker with that
// many addresses is not held by a limit per address anyway. It must be called with mu held.
func (r *rateLimiter) makeRoom(now time.Time) {
	if len(r.buckets) < maxBuckets {
		return
	}
	for a, b := range r.buckets {
		if b.left+now.Sub(b.at).Seconds()*r.perSecond >= r.burst {
			delete(r.buckets, a)
		}
	}
	for a := range r.buckets {
		if len(r.buckets) < maxBuckets*3/4 {
			return
		}
		delete(r.buckets, a)
	}
}
