package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

func cgroupPids(dir string) ([]int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil, fmt.Errorf("list processes of cgroup: %w", err)
	}
	var pids []int
	for f := range bytes.FieldsSeq(b) {
		if pid, err := strconv.Atoi(string(f)); err == nil && pid > 1 {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// killCgroup kills all that is in dir and below and waits until it is empty.
func killCgroup(dir string, deadline time.Time) error {
	kill := filepath.Join(dir, "cgroup.kill")
	err := os.WriteFile(kill, []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) { // before Linux 5.14
		for range 100 {
			pids, perr := cgroupPids(dir)
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
