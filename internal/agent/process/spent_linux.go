package process

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// spent tells what the tree took, as far as its cgroups measure that.
func (t *tree) spent() Spent {
	var s Spent
	for _, dir := range t.dirs() {
		if b, err := os.ReadFile(filepath.Join(dir, "cpu.stat")); err == nil && s.CPUMicros == 0 {
			s.CPUMicros = field(string(b), "usage_usec")
		}
		if n := number(filepath.Join(dir, "cpuacct.usage")); n > 0 && s.CPUMicros == 0 {
			s.CPUMicros = n / 1000
		}
		for _, file := range []string{"memory.peak", "memory.max_usage_in_bytes"} {
			s.MemPeak = max(s.MemPeak, number(filepath.Join(dir, file)))
		}
	}
	return s
}

// ranInto names the limits of the owner's file that the kernel held the tree to: by killing one of its processes, or by not
// letting it start one.
func (t *tree) ranInto(l Limits) []string {
	counted := func(file, name string) bool {
		for _, dir := range t.dirs() {
			if b, err := os.ReadFile(filepath.Join(dir, file)); err == nil && field(string(b), name) > 0 {
				return true
			}
		}
		return false
	}
	var into []string
	if l.Memory > 0 && (counted("memory.events", "oom_kill") || counted("memory.oom_control", "oom_kill")) {
		into = append(into, LimitMemory)
	}
	if l.Processes > 0 && counted("pids.events", "max") {
		into = append(into, LimitProcesses)
	}
	return into
}

// field finds a number by its name in a file of lines.
func field(text, name string) int64 {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n
		}
	}
	return 0
}

// number reads a file that holds one; 0: it does not.
func number(file string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n
}

// rusage is what the kernel says of a process that was waited for, and of those that it waited for.
func rusage(state *os.ProcessState) Spent {
	s := Spent{CPUMicros: (state.UserTime() + state.SystemTime()).Microseconds()}
	if u, ok := state.SysUsage().(*syscall.Rusage); ok {
		s.MemPeak = u.Maxrss * 1024 // of the largest one
	}
	return s
}
