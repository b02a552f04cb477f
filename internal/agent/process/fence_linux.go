package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fence is a place in one hierarchy of cgroups where a session's cgroup can be made.
type fence struct {
	dir string // our own cgroup there, in which sessions' are made; empty: there is none
	v2  bool
}

// fences are what the machine offers to hold sessions' processes together, to limit and to measure them. On hybrid
// machines the v2 hierarchy holds them, while the controllers are those of v1.
type fences struct {
	hold, memory, pids, cpu fence
}

// holders are the v1 hierarchies that can hold a session, best first: the freezer can stop what must not run on.
func holders() []string { return []string{"freezer", "pids", "memory", "cpuacct", "name=systemd"} }

// findFences looks what there is, of version 2 only if v2too. trial names cgroups that are made and removed for that.
func findFences(trial string, v2too bool) fences {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fences{}
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return fences{}
	}
	var f fences
	v2 := cgroupDir(string(mounts), string(own))
	if v2too && v2 != "" && usable(v2, trial, "cgroup.procs") {
		f.hold = fence{v2, true}
		has := controllers(v2, trial)
		if slices.Contains(has, "memory") {
			f.memory = f.hold
		}
		if slices.Contains(has, "pids") {
			f.pids = f.hold
		}
		f.cpu = f.hold // cpu.stat has usage without any controller
	}
	v1 := func(controller string) fence {
		dir := controllerDir(string(mounts), string(own), controller)
		if dir == "" || !usable(dir, trial, "tasks") {
			return fence{}
		}
		return fence{dir: dir}
	}
	for _, c := range holders() {
		if f.hold.dir == "" {
			f.hold = v1(c)
		}
	}
	for c, to := range map[string]*fence{"memory": &f.memory, "pids": &f.pids, "cpuacct": &f.cpu} {
		if to.dir == "" {
			*to = v1(c)
		}
	}
	return f
}

// usable reports whether children of dir can be made and entered: entering needs write access to a file of both.
func usable(dir, trial, file string) bool {
	child := filepath.Join(dir, trial)
	if err := os.Mkdir(child, 0o755); err != nil { //nolint:gosec // the kernel's own mode
		return false
	}
	defer os.Remove(child)
	return unix.Access(filepath.Join(dir, file), unix.W_OK) == nil && unix.Access(filepath.Join(child, file), unix.W_OK) == nil
}

// controllerDir finds our v1 cgroup of a controller from mountinfo and /proc/self/cgroup.
func controllerDir(mountinfo, self, controller string) string {
	path := ""
	for line := range strings.Lines(self) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && slices.Contains(strings.Split(f[1], ","), controller) {
			path = f[2]
		}
	}
	if path == "" {
		return ""
	}
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(g) < 3 || g[0] != "cgroup" || !slices.Contains(strings.Split(g[2], ","), controller) {
			continue
		}
		rel, err := filepath.Rel(f[3], path)
		if err == nil && !strings.HasPrefix(rel, "..") {
			return filepath.Join(f[4], rel)
		}
	}
	return ""
}

// controllers gives the v2 controllers that children of dir have. Where they could have more, and dir was given to us to
// do as we like (Delegate= of systemd), they are switched on; that needs our own process to be in a child.
func controllers(dir, trial string) []string {
	read := func(file string) []string {
		b, _ := os.ReadFile(filepath.Join(dir, file))
		return strings.Fields(string(b))
	}
	has, could := read("cgroup.subtree_control"), read("cgroup.controllers")
	var more []string
	for _, c := range []string{"memory", "pids"} {
		if slices.Contains(could, c) && !slices.Contains(has, c) {
			more = append(more, "+"+c)
		}
	}
	if len(more) == 0 || !delegated(dir) {
		return has
	}
	if err := switchOn(dir, trial+".agent", strings.Join(more, " ")); err != nil {
		return has
	}
	return read("cgroup.subtree_control")
}

// delegated reports whether systemd says that the cgroup is its service's to manage.
func delegated(dir string) bool {
	var b [8]byte
	for _, attr := range []string{"trusted.delegate", "user.delegate"} {
		if n, err := unix.Getxattr(dir, attr, b[:]); err == nil && n > 0 && b[0] == '1' {
			return true
		}
	}
	return false
}

// switchOn moves this process, if it is alone in dir, to a child and switches controllers on for all children.
func switchOn(dir, child, what string) error {
	pids, err := cgroupPids(dir)
	if err != nil {
		return err
	}
	if len(pids) > 1 || len(pids) == 1 && pids[0] != os.Getpid() {
		return errors.New("others are in the agent's cgroup")
	}
	leaf := filepath.Join(dir, child)
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // the kernel's own mode
		return fmt.Errorf("make cgroup: %w", err)
	}
	self := []byte(strconv.Itoa(os.Getpid()))
	if err := os.WriteFile(filepath.Join(leaf, "cgroup.procs"), self, 0); err != nil {
		_ = os.Remove(leaf)
		return fmt.Errorf("enter cgroup: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(what), 0); err != nil {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.procs"), self, 0)
		_ = os.Remove(leaf)
		return fmt.Errorf("switch on controllers: %w", err)
	}
	return nil
}

func (f fences) held() bool            { return f.hold.dir != "" }
func (f fences) limitsProcesses() bool { return f.pids.dir != "" }
func (f fences) limitsMemory() bool    { return f.memory.dir != "" }

// describe says how a fence is called, for people.
func (f fence) describe() string {
	if f.v2 {
		return "cgroup v2"
	}
	return "cgroup v1"
}

// onOwnThread calls f on a thread that ends with it: what f does to its thread touches nobody else.
func onOwnThread(f func()) {
	done := make(chan struct{})
	go func() { // ends with f
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // the main thread does not end with its goroutine: keep it, and try another
			defer runtime.UnlockOSThread()
			onOwnThread(f)
			return
		}
		f()
	}()
	<-done
}
