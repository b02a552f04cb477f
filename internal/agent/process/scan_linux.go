package process

import (
	"bytes"
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// procInfo is what a scan needs of one process.
type procInfo struct {
	pid, ppid, pgrp, session int
	state                    byte
	born                     uint64 // in ticks since the machine started
}

// processes lists the living processes of the machine.
func processes() map[int]procInfo {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	all := make(map[int]procInfo, len(entries))
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		if p, ok := parseStat(pid, b); ok && p.state != 'Z' && p.state != 'X' {
			all[pid] = p
		}
	}
	return all
}

// parseStat reads proc_pid_stat(5). The name in it may hold spaces and parentheses.
func parseStat(pid int, b []byte) (procInfo, bool) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return procInfo{}, false
	}
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 20 || len(f[0]) != 1 {
		return procInfo{}, false
	}
	p := procInfo{pid: pid, state: f[0][0]}
	for j, v := range []*int{&p.ppid, &p.pgrp, &p.session} {
		n, err := strconv.Atoi(f[j+1])
		if err != nil {
			return procInfo{}, false
		}
		*v = n
	}
	born, err := strconv.ParseUint(f[19], 10, 64)
	p.born = born
	return p, err == nil
}

// birth tells when a process was started; 0 when it can't be told.
func birth(pid int) uint64 {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	p, _ := parseStat(pid, b)
	return p.born
}

// environMark gives the value of a variable that a process was started with.
func environMark(pid int, name string) string {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return ""
	}
	for v := range bytes.SplitSeq(b, []byte{0}) {
		if value, ok := bytes.CutPrefix(v, []byte(name+"=")); ok {
			return string(value)
		}
	}
	return ""
}

// scan finds the living processes of p's session without a cgroup: by terminal session, group, mark, and descent. An
// orphan that hides all of these (a daemon started with an empty environment) is our child by now; it counts as p's when
// no other session runs.
func (s *Supervisor) scan(p *Process) []int {
	all := processes()
	self := os.Getpid()
	s.mu.Lock()
	others := 0
	mains := make(map[int]bool, len(s.live))
	for pid, o := range s.live {
		mains[pid] = true
		if o != p {
			others++
		}
	}
	s.mu.Unlock()
	member := map[int]bool{}
	if i, there := all[p.pid]; there && p.born != 0 && i.born != p.born {
		p.reused = true // its number is somebody else's by now, and so are that terminal session and group
	}
	for pid, i := range all {
		switch {
		case pid == self || pid <= 1 || i.born < p.born: // nobody descends from a younger one
		case !p.reused && (pid == p.pid || i.session == p.pid || i.pgrp == p.pid):
			member[pid] = true
		case environMark(pid, MarkSession) == string(p.session):
			member[pid] = true
		case i.ppid == self && i.session != all[self].session && !mains[pid] && others == 0 && s.orphans:
			member[pid] = true
		}
	}
	delete(member, self)
	for again := true; again; {
		again = false
		for pid, i := range all {
			if !member[pid] && member[i.ppid] && pid != self {
				member[pid], again = true, true
			}
		}
	}
	pids := make([]int, 0, len(member))
	for pid := range member {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids
}

// KillLeftovers kills what earlier lives of this agent left running, and tells how many processes that were.
func (s *Supervisor) KillLeftovers() int {
	killed := s.killOldCgroups()
	all := processes()
	spare := map[int]bool{}
	for pid := os.Getpid(); pid > 0 && !spare[pid]; pid = all[pid].ppid {
		spare[pid] = true // whoever started us, from a session of an earlier boot even
	}
	for pid := range all {
		mark := environMark(pid, MarkAgent)
		if spare[pid] || mark == s.mark || !strings.HasPrefix(mark, string(s.cfg.Instance)+"/") {
			continue
		}
		if unix.Kill(pid, unix.SIGKILL) == nil {
			killed++
		}
	}
	return killed
}

// killOldCgroups ends what is in cgroups of earlier boots, and removes them.
func (s *Supervisor) killOldCgroups() int {
	killed := 0
	bases := map[string]fence{}
	for _, f := range []fence{s.fences.hold, s.fences.memory, s.fences.pids, s.fences.cpu} {
		if f.dir != "" {
			bases[f.dir] = f
		}
	}
	for _, f := range bases {
		dirs, err := filepath.Glob(filepath.Join(f.dir, s.cgroupPrefix()+"*"))
		if err != nil {
			continue
		}
		for _, dir := range dirs {
			if strings.HasPrefix(filepath.Base(dir), s.cgroupPrefix()+string(s.cfg.Boot)+".") {
				continue
			}
			pids, err := cgroupPids(dir)
			if err != nil || slices.Contains(pids, os.Getpid()) {
				continue
			}
			if err := (&tree{sup: s, dir: dir, v2: f.v2}).kill(nil); err != nil {
				s.cfg.Log.Warn("kill leftovers", "error", err)
			}
			killed += len(pids)
			removeCgroup(dir)
		}
	}
	return killed
}

// adoptOrphans makes orphans of sessions our children and buries them when they end, until ctx is over.
func (s *Supervisor) adoptOrphans(ctx context.Context) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	s.orphans = true
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGCHLD)
	go func() { // ends with ctx
		defer signal.Stop(c)
		for {
			select {
			case <-ctx.Done():
				return
			case <-c:
				s.bury()
			}
		}
	}()
	return nil
}

// bury reaps the dead orphans among our children. Those we started ourselves have somebody who waits for them: main
// processes are known, and everything else we start stays in our own terminal session.
func (s *Supervisor) bury() {
	s.mu.Lock()
	defer s.mu.Unlock()
	own, err := unix.Getsid(0)
	if err != nil {
		return
	}
	for _, pid := range children() {
		if s.live[pid] != nil { // hundreds may end at once: nothing is read of these
			continue
		}
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			continue
		}
		if p, ok := parseStat(pid, b); ok && p.state == 'Z' && p.session != own {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
	}
}

// children lists our children, the dead ones included.
func children() []int {
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return nil
	}
	var pids []int
	for _, t := range tasks {
		b, err := os.ReadFile(t)
		if err != nil {
			continue
		}
		for f := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
