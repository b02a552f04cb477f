//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of CPU times in /proc/PID/stat: USER_HZ is 100 on every Linux.
const tick = 10 * time.Millisecond

// process is what /proc/PID/stat says.
type process struct {
	pid, parent int
	comm        string
	// cpu is what it used, with the children it has waited for.
	cpu time.Duration
}

// parseStat reads a line of /proc/PID/stat. The name stands in parentheses and may itself hold any character.
func parseStat(line string) (process, error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return process{}, fmt.Errorf("no name in %q", line)
	}
	var p process
	var err error
	if p.pid, err = strconv.Atoi(strings.TrimSpace(line[:open])); err != nil {
		return process{}, err
	}
	p.comm = line[open+1 : end]
	fields := strings.Fields(line[end+1:]) // from field 3, the state
	if len(fields) < 15 {
		return process{}, fmt.Errorf("%d fields in %q", len(fields), line)
	}
	if p.parent, err = strconv.Atoi(fields[1]); err != nil {
		return process{}, err
	}
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return process{}, err
		}
		p.cpu += time.Duration(n) * tick
	}
	return p, nil
}

// table is every process, by the process that started it.
type table struct {
	byPID    map[int]process
	children map[int][]int
}

func processes() (table, error) {
	t := table{map[int]process{}, map[int][]int{}}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return t, err
	}
	for _, e := range entries {
		if e.Name()[0] < '0' || e.Name()[0] > '9' {
			continue
		}
		line, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		p, err := parseStat(string(line))
		if err != nil {
			return t, err
		}
		t.byPID[p.pid] = p
		t.children[p.parent] = append(t.children[p.parent], p.pid)
	}
	return t, nil
}

// tree lists a process and all below it.
func (t table) tree(root int) []process {
	var list []process
	for todo := []int{root}; len(todo) > 0; todo = todo[1:] {
		if p, ok := t.byPID[todo[0]]; ok {
			list = append(list, p)
			todo = append(todo, t.children[p.pid]...)
		}
	}
	return list
}

// cpu is what the trees of processes have used.
func (t table) cpu(roots ...int) time.Duration {
	var sum time.Duration
	for _, root := range roots {
		for _, p := range t.tree(root) {
			sum += p.cpu
		}
	}
	return sum
}

// parseKiB finds a line such as "Pss:   12 kB" and gives bytes; 0 if there is none.
func parseKiB(text []byte, name string) int64 {
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		rest, ok := strings.CutPrefix(s.Text(), name+":")
		if f := strings.Fields(rest); ok && len(f) > 0 {
			n, _ := strconv.ParseInt(f[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

// resident gives the resident memory of a process, bytes; 0 when it has ended.
func resident(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return parseKiB(text, "VmRSS")
}

// memory sums the proportional set sizes of trees of processes, bytes: pages that several share count once in all.
// Processes that carry the name of the remote command do not count.
func (t table) memory(command string, roots ...int) int64 {
	var sum int64
	for _, root := range roots {
		for _, p := range t.tree(root) {
			if p.comm == command {
				continue
			}
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid))
			sum += parseKiB(text, "Pss")
		}
	}
	return sum
}

// adopt makes this process the parent of all orphans below it: ssh -J leaves its second ssh behind, whose use of the
// CPU counts too.
func adopt() error {
	const setChildSubreaper = 36
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0); errno != 0 {
		return fmt.Errorf("become the parent of orphans: %w", errno)
	}
	return nil
}

// reap waits for orphans with this name and gives the CPU time they used.
func reap(comm string) (time.Duration, error) {
	t, err := processes()
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, pid := range t.children[os.Getpid()] {
		if t.byPID[pid].comm != comm {
			continue
		}
		var usage syscall.Rusage
		if _, err := syscall.Wait4(pid, nil, 0, &usage); err != nil {
			return 0, fmt.Errorf("wait for %s: %w", comm, err)
		}
		sum += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return sum, nil
}
