package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupName names the cgroup of a session, so that later boots know it as this agent's. Without a session it names a
// trial.
func (s *Supervisor) cgroupName(session string) string {
	return s.cgroupPrefix() + string(s.cfg.Boot) + "." + orElse(session, "trial")
}

func (s *Supervisor) cgroupPrefix() string { return "sess." + string(s.cfg.Instance) + "." }

// cgroupDir finds our v2 cgroup from mountinfo and /proc/self/cgroup.
func cgroupDir(mountinfo, self string) string {
	path := ""
	for line := range strings.Lines(self) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			path = p
		}
	}
	if path == "" {
		return ""
	}
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		f := strings.Fields(before)
		if !ok || len(f) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		rel, err := filepath.Rel(f[3], path) // f[3]: what of the hierarchy is mounted, f[4]: where
		if err == nil && !strings.HasPrefix(rel, "..") {
			return filepath.Join(f[4], rel)
		}
	}
	return ""
}

// cgroupPids lists the processes of a cgroup, and of those that root made below it.
func cgroupPids(dir string) ([]int, error) {
	var pids []int
	for _, d := range cgroupsIn(dir) {
		b, err := os.ReadFile(filepath.Join(d, "cgroup.procs"))
		if err != nil && d != dir && errors.Is(err, fs.ErrNotExist) {
			continue // it went meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("list processes of cgroup: %w", err)
		}
		for f := range bytes.FieldsSeq(b) {
			if pid, err := strconv.Atoi(string(f)); err == nil && pid > 1 {
				pids = append(pids, pid)
			}
		}
	}
	return pids, nil
}

// othersIn is cgroupPids without this process: the thread that started a session in its v1 cgroup ends a moment later, and until
// then the kernel counts all of us among its processes.
func othersIn(dir string) ([]int, error) {
	pids, err := cgroupPids(dir)
	return slices.DeleteFunc(pids, func(pid int) bool { return pid == os.Getpid() }), err
}

// maxCgroups bounds the cgroups below a session's own that are looked at.
const maxCgroups = 10_000

// cgroupsIn gives a cgroup and those below it, each before those below itself.
func cgroupsIn(dir string) []string {
	all := []string{dir}
	for i := 0; i < len(all) && len(all) < maxCgroups; i++ {
		entries, err := os.ReadDir(all[i])
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.IsDir() {
				all = append(all, filepath.Join(all[i], e.Name()))
			}
		}
	}
	return all
}

// removeCgroup removes a cgroup and those below it; they must be empty, or be so in a moment.
func removeCgroup(dir string) {
	for _, d := range slices.Backward(cgroupsIn(dir)) {
		for range 10 {
			if err := os.Remove(d); !errors.Is(err, unix.EBUSY) {
				break
			}
			<-time.After(2 * time.Millisecond)
		}
	}
}

// killCgroup kills all that is in dir and below and waits until it is empty.
func killCgroup(dir string, deadline time.Time) error {
	kill := filepath.Join(dir, "cgroup.kill")
	err := os.WriteFile(kill, []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) { // before Linux 5.14
		for range 100 {
			pids, perr := othersIn(dir)
			if perr != nil || len(pids) == 0 {
				break
			}
			for _, pid := range pids {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
	} else if err != nil {
		return fmt.Errorf("kill cgroup: %w", err)
	}
	return waitEmpty(dir, deadline)
}

// waitEmpty waits until the kernel says that no process is left in dir; the file tells of changes by POLLPRI.
func waitEmpty(dir string, deadline time.Time) error {
	f, err := unix.Open(filepath.Join(dir, "cgroup.events"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("watch cgroup: %w", err)
	}
	defer unix.Close(f)
	buf := make([]byte, 256)
	for {
		n, err := unix.Pread(f, buf, 0)
		if err != nil {
			return fmt.Errorf("watch cgroup: %w", err)
		}
		if bytes.Contains(buf[:n], []byte("populated 0")) {
			return nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			return errors.New("processes of the cgroup do not die")
		}
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(f), Events: unix.POLLPRI}}, int(left.Milliseconds())+1) //nolint:gosec // a descriptor
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("watch cgroup: %w", err)
		}
	}
}
