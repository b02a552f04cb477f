package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessctl/sess/internal/sess"
)

// tree is all processes of one session: those in its cgroup, those that descend from it in the kernel's memory, and,
// without a cgroup, those found by descent, terminal session and mark.
type tree struct {
	sup  *Supervisor
	dir  string // the cgroup that holds it; empty: none
	v2   bool   // of dir
	name string // of all its cgroups
	// beside is its v1 cgroups that limit and measure. Being born in one costs the kernel some 8 ms; being moved there later
	// would leave out what was started before.
	beside []string
}

func (s *Supervisor) newTree(id sess.SessionID) *tree {
	s.mu.Lock()
	f := s.fences
	s.mu.Unlock()
	t := &tree{sup: s, name: s.cgroupName(string(id))}
	if f.hold.dir == "" {
		return t
	}
	t.dir, t.v2 = filepath.Join(f.hold.dir, t.name), f.hold.v2
	limits := s.cfg.Limits
	if f.memory.dir != "" && !f.memory.v2 {
		t.join(f.memory)
	}
	if f.pids.dir != "" && !f.pids.v2 && limits.Processes > 0 {
		t.join(f.pids)
	}
	if f.cpu.dir != "" && !f.cpu.v2 {
		t.join(f.cpu)
	}
	for _, dir := range t.dirs() {
		if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // the kernel's own mode
			s.cfg.Log.Warn("make cgroup", "error", err)
			t.remove()
			return t
		}
	}
	t.limit(f, limits)
	return t
}

// join adds a v1 cgroup, unless it is the one that holds the tree.
func (t *tree) join(f fence) {
	if dir := filepath.Join(f.dir, t.name); dir != t.dir && !slices.Contains(t.beside, dir) {
		t.beside = append(t.beside, dir)
	}
}

func (t *tree) inCgroup() bool { return t.dir != "" }

// dirs lists all cgroups of the tree.
func (t *tree) dirs() []string {
	if t.dir == "" {
		return nil
	}
	return append([]string{t.dir}, t.beside...)
}

// limit sets what the session may take. What can't be limited here was said when the agent started.
func (t *tree) limit(f fences, l Limits) {
	set := func(g fence, file string, value int64, must bool) {
		err := os.WriteFile(filepath.Join(g.dir, t.name, file), []byte(strconv.FormatInt(value, 10)), 0)
		if err != nil && must {
			t.sup.cfg.Log.Error("limit a session", "limit", file, "error", err)
		}
	}
	if l.Processes > 0 && f.pids.dir != "" {
		set(f.pids, "pids.max", int64(l.Processes), true)
	}
	if l.Memory <= 0 || f.memory.dir == "" {
		return
	}
	if f.memory.v2 {
		set(f.memory, "memory.max", l.Memory, true)
		set(f.memory, "memory.swap.max", 0, false) // where there is swap
		return
	}
	set(f.memory, "memory.limit_in_bytes", l.Memory, true)
	set(f.memory, "memory.memsw.limit_in_bytes", l.Memory, false)
}

// start calls fork so that what it starts is in the tree's cgroups from its first moment on: v2 has a way to start there;
// of v1 a child inherits its thread's.
func (t *tree) start(sys *syscall.SysProcAttr, fork func() (*os.Process, error)) (proc *os.Process, err error) {
	enter := t.beside
	switch {
	case t.dir == "":
		return fork()
	case t.v2:
		fd, oerr := unix.Open(t.dir, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if oerr != nil {
			return nil, fmt.Errorf("open cgroup: %w", oerr)
		}
		defer func() { _ = unix.Close(fd) }()
		sys.UseCgroupFD, sys.CgroupFD = true, fd
	default:
		enter = append([]string{t.dir}, enter...)
	}
	if len(enter) == 0 {
		return fork()
	}
	onOwnThread(func() {
		thread := []byte(strconv.Itoa(unix.Gettid()))
		for _, dir := range enter {
			if err = os.WriteFile(filepath.Join(dir, "tasks"), thread, 0); err != nil {
				return
			}
		}
		proc, err = fork()
	})
	return proc, err
}

// leaveCgroup gives up on cgroups, for this process and all later ones. The Supervisor's lock is held.
func (t *tree) leaveCgroup(sys *syscall.SysProcAttr) {
	sys.UseCgroupFD, sys.CgroupFD = false, 0
	t.remove()
	t.sup.fences = fences{}
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
		if pids, err := othersIn(t.dir); err == nil {
			return pids
		}
	}
	return t.sup.scan(p)
}

// kill ends every process of the tree and waits until they are gone, for at most killPatience. Last come those that have
// left the cgroup, as root may, but not their ancestry, or, where nobody looked at that, what else tells them.
func (t *tree) kill(p *Process) error {
	deadline := time.Now().Add(killPatience)
	for _, dir := range t.dirs() { // where processes are counted, none is born from now on
		_ = os.WriteFile(filepath.Join(dir, "pids.max"), []byte("0"), 0)
	}
	if p != nil && p.trail != nil {
		p.trail.Kill() // from now on who forks dies of it
	}
	var err error
	switch {
	case t.dir == "":
		err = until(deadline, func() (int, error) { return killGroups(t.sup.scan(p)) })
	case t.v2:
		err = killCgroup(t.dir, deadline)
	default:
		err = until(deadline, func() (int, error) { return killFrozen(t.dir) })
	}
	for _, dir := range t.beside {
		err = errors.Join(err, until(deadline, func() (int, error) { return killIn(dir) }))
	}
	switch {
	case p == nil:
	case p.trail != nil:
		err = errors.Join(err, until(deadline, func() (int, error) { return p.trail.Kill(), nil }))
	case t.dir != "":
		err = errors.Join(err, until(deadline, func() (int, error) { return killAll(t.sup.scan(p)) }))
	}
	return err
}

// left counts the processes of the tree that live.
func (t *tree) left(p *Process) int {
	all := map[int]bool{}
	note := func(pids []int) {
		for _, pid := range pids {
			all[pid] = true
		}
	}
	for _, dir := range t.dirs() {
		pids, _ := othersIn(dir)
		note(pids)
	}
	if p.trail != nil {
		note(p.trail.Pids())
	} else {
		note(t.sup.scan(p))
	}
	return len(all)
}

// killIn kills what is in a cgroup.
func killIn(dir string) (left int, err error) {
	pids, err := othersIn(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 1, err
	}
	return killAll(pids)
}

// killGroups kills processes and their groups: who forks and ends faster than anybody looks has gone on as a child by then, but
// of the same group, and the kernel lets no fork slip through between.
func killGroups(pids []int) (left int, err error) {
	own := unix.Getpgrp()
	done := map[int]bool{0: true, 1: true, own: true}
	for _, pid := range pids {
		if group, gerr := unix.Getpgid(pid); gerr == nil && !done[group] {
			done[group] = true
			_ = unix.Kill(-group, unix.SIGKILL)
		}
	}
	return killAll(pids)
}

// killAll kills processes; left is how many there were.
func killAll(pids []int) (left int, err error) {
	for _, pid := range pids {
		if kerr := unix.Kill(pid, unix.SIGKILL); kerr != nil && !errors.Is(kerr, unix.ESRCH) {
			err = fmt.Errorf("kill %d: %w", pid, kerr)
		}
	}
	return len(pids), err
}

// killFrozen kills what is in a v1 cgroup. With a freezer nothing in it can start more meanwhile; else, whatever is faster
// wins in the end, as those that were killed start nothing.
func killFrozen(dir string) (left int, err error) {
	freeze := func(state string) error { // what is frozen below does not thaw with it
		var err error
		for _, d := range slices.Backward(cgroupsIn(dir)) {
			err = os.WriteFile(filepath.Join(d, "freezer.state"), []byte(state), 0)
		}
		return err
	}
	if freeze("FROZEN") == nil {
		defer func() { _ = freeze("THAWED") }()
	}
	return killIn(dir)
}

// until calls kill until nothing was left for it, or the deadline has passed.
func until(deadline time.Time, kill func() (left int, err error)) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		left, err := kill()
		if left == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			if err == nil {
				err = fmt.Errorf("%d processes do not die", left)
			}
			return err
		}
		<-time.After(pause) // the kernel takes a moment to take them down; new ones may have been born meanwhile
	}
}

// remove removes the cgroups; they must be empty.
func (t *tree) remove() {
	if t == nil {
		return
	}
	for _, dir := range t.dirs() {
		removeCgroup(dir)
	}
	t.dir, t.beside = "", nil
}
