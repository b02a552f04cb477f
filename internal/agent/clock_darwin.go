package agent

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootClock gives the time since the machine started, also that in which it slept: here that is what CLOCK_MONOTONIC counts.
func bootClock() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
