package agent

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootClock gives the time since the machine started, also that in which it slept: nobody sets it.
func bootClock() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil && unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
