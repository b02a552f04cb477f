package broker

import (
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// What a session took is in part the word of its agent and its client: CPU and memory, and where a stream goes on behind
// bytes that nobody has. More than machines and lines can do is not believed. It is not about being exact: one that claims
// as much as a number holds would make every sum fail that it is part of, those of other organisations' bills among them.
const (
	mostBytesPerSecond = 64 << 30 // of the fastest line to one machine
	mostCPUs           = 4096
	mostMemory         = 1 << 50 // bytes
	// spentSlack is added to a session's time: clocks differ, and short sessions end within their first second.
	spentSlack = time.Minute
	// maxLasted bounds the time that is reckoned with, so that nothing here overflows.
	maxLasted = 366 * 24 * time.Hour
)

// lasted is how long a session has run, at most.
func lasted(r store.Session, now time.Time) time.Duration {
	if r.StartedAt == nil {
		return 0
	}
	if r.EndedAt != nil {
		now = store.Time(*r.EndedAt)
	}
	return max(0, now.Sub(store.Time(*r.StartedAt))) + spentSlack
}

// believed gives as much of what somebody claims as a session can have taken in its time.
func believed(claim, perSecond int64, long time.Duration) int64 {
	seconds := int64(min(long, maxLasted)/time.Second) + 1
	return max(0, min(claim, perSecond*seconds))
}

func believedTraffic(m sess.Traffic, long time.Duration) sess.Traffic {
	return sess.Traffic{
		In: believed(m.In, mostBytesPerSecond, long), Out: believed(m.Out, mostBytesPerSecond, long), Err: believed(m.Err, mostBytesPerSecond, long),
	}
}

func believedCPU(micros int64, long time.Duration) int64 {
	return believed(micros, mostCPUs*time.Second.Microseconds(), long)
}
