package outbound

import (
	"errors"
	"math/rand/v2"
	"time"
)

// The pauses between tries: they double from the first to the longest.
const (
	firstPause   = time.Second
	longestPause = 5 * time.Minute
)

// Backoff gives the pause before the next try after a number of failures in a row (1 for the first) of which err is the last:
// doubling from a second to five minutes, a little by chance, and no less than what the receiver asked for.
func Backoff(failures int, err error) time.Duration {
	d := longestPause
	if failures < 10 {
		d = min(firstPause<<max(failures-1, 0), longestPause)
	}
	d += time.Duration(rand.Int64N(int64(d)/5 + 1)) //nolint:gosec // no secret
	if f, ok := errors.AsType[*Failure](err); ok {
		d = max(d, f.RetryAfter)
	}
	return d
}
