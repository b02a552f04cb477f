package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessctl/sess/internal/sess"
)

// tree is all processes of one session: those in its cgroup, and those found by descent, terminal session and mark.
type tree struct {
	sup *Supervisor
	dir string // its cgroup; empty: none
}

func (s *Supervisor) newTree(id sess.SessionID) *tree {
	t := &tree{sup: s}
	s.mu.Lock()
	base := s.cgroup
	s.mu.Unlock()
	if base == "" {
		return t
	}
	dir := filepath.Join(base, s.cgroupName(string(id)))
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // the kernel's own mode
		s.cfg.Log.Warn("make cgroup", "error", err)
		return t
	}
	t.dir = dir
	return t
}

// place makes a process start in the cgroup. release is called after the start.
func (t *tree) place(sys *syscall.SysProcAttr) (release func(), ok bool) {
	if t.dir == "" {
		return func() {}, false
	}
	fd, err := unix.Open(t.dir, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.remove()
		return func() {}, false
	}
	sys.UseCgroupFD, sys.CgroupFD = true, fd
	return func() { _ = unix.Close(fd) }, true
}

// leaveCgroup gives up on cgroups, for this process and all later ones. The Supervisor's lock is held.
func (t *tree) leaveCgroup(sys *syscall.SysProcAttr) {
	sys.UseCgroupFD, sys.CgroupFD = false, 0
	t.remove()
	t.sup.cgroup = ""
	t.sup.cfg.Log.Warn("this kernel can't start processes in a cgroup; going on without")
}

// signal sends sig to every process of the tree.
func (t *tree) signal(p *Process, sig unix.Signal) {
	for _, pid := range t.members(p) {
		_ = unix.Kill(pid, sig)
	}
}

func (t *tree) members(p *Process) []int {
	if t.dir != "" {
		if pids, err := cgroupPids(t.dir); err == nil {
			return pids
		}
	}
	return t.sup.scan(p)
}

// kill ends every process of the tree and waits until they are gone, for at most killPatience.
func (t *tree) kill(p *Process) error {
	deadline := time.Now().Add(killPatience)
	if t.dir != "" {
		return killCgroup(t.dir, deadline)
	}
	var last error
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		pids := t.sup.scan(p)
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				last = fmt.Errorf("kill %d: %w", pid, err)
			}
		}
		if time.Now().After(deadline) {
			if last == nil {
				last = fmt.Errorf("%d processes do not die", len(pids))
			}
			return last
		}
		<-time.After(pause) // the kernel takes a moment to take them down; new ones may have been born meanwhile
	}
}

// remove removes the cgroup; it must be empty.
func (t *tree) remove() {
	if t != nil && t.dir != "" {
		_ = os.Remove(t.dir)
		t.dir = ""
	}
}
