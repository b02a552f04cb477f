package agent

import (
	"math/rand/v2"
	"time"
)

// Waits between attempts to reach the server.
const (
	backoffBase  = 250 * time.Millisecond
	backoffCap   = 5 * time.Second // within the first backoffSoon of an outage
	backoffSoon  = 2 * time.Minute
	backoffLate  = 20 * time.Second // afterwards: from here to half as much more
	refusedWait  = 5 * time.Minute  // the server does not want us: it was told to forget this instance, say
	pinWait      = time.Minute      // the certificate is not the pinned one
	longestShift = 10
)

// backoff spreads attempts of many agents over time: at once, then with full jitter.
type backoff struct {
	since time.Time // when the outage began; zero: there is none
	tries int
}

func (b *backoff) reset() { *b = backoff{} }

// next gives how long to wait before the next attempt.
func (b *backoff) next(now time.Time) time.Duration {
	if b.tries == 0 {
		b.since = now
	}
	b.tries++
	switch {
	case b.tries == 1:
		return 0
	case now.Sub(b.since) > backoffSoon:
		return backoffLate + rand.N(backoffLate/2) //nolint:gosec // jitter
	default:
		return rand.N(min(backoffBase<<min(b.tries, longestShift), backoffCap)) //nolint:gosec // jitter
	}
}

// around spreads a long wait by a fifth.
func around(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5) } //nolint:gosec // jitter
