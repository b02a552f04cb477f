package process

import (
	"os"
	"syscall"
)

func (t *tree) spent() Spent { return Spent{} }

// rusage is what the kernel says of a process that was waited for, and of those that it waited for.
func rusage(state *os.ProcessState) Spent {
	s := Spent{CPUMicros: (state.UserTime() + state.SystemTime()).Microseconds()}
	if u, ok := state.SysUsage().(*syscall.Rusage); ok {
		s.MemPeak = u.Maxrss // of the largest one
	}
	return s
}
