package process

import (
	"context"
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sessctl/sess/internal/sess"
)

// tree is all processes of one session. Darwin has neither cgroups nor sub-reapers: it is the terminal session's process
// groups, found by their session leader.
type tree struct{}

func (s *Supervisor) cgroupName(string) string { return "" }

// fences are cgroups elsewhere.
type fences struct{ hold fence }

type fence struct{}

func findFences(string, bool) fences { return fences{} }

func (fences) held() bool            { return false }
func (fences) limitsProcesses() bool { return false }
func (fences) limitsMemory() bool    { return false }
func (fence) describe() string       { return "" }

func (s *Supervisor) newTree(sess.SessionID) *tree { return &tree{} }

func (t *tree) inCgroup() bool { return false }

func (t *tree) start(_ *syscall.SysProcAttr, fork func() (*os.Process, error)) (*os.Process, error) {
	return fork()
}

func (t *tree) leaveCgroup(*syscall.SysProcAttr) {}

func (t *tree) remove() {}

func (t *tree) left(*Process) int { return 0 } // each says what can't be killed

func (t *tree) ranInto(Limits) []string { return nil }

func (t *tree) signal(p *Process, sig unix.Signal) { _ = t.each(p, sig) }

func (t *tree) kill(p *Process) error {
	for range 3 { // new ones may be born meanwhile
		if err := t.each(p, unix.SIGKILL); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) each(p *Process, sig unix.Signal) error {
	var last error
	if err := unix.Kill(-p.pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
		last = err
	}
	procs, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return errors.Join(last, err)
	}
	for _, k := range procs {
		pid := int(k.Proc.P_pid)
		if pid <= 1 {
			continue
		}
		if sid, err := unix.Getsid(pid); err == nil && sid == p.pid {
			if err := unix.Kill(pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
				last = err
			}
		}
	}
	return last
}

// KillLeftovers does nothing here: there is nothing to know them by.
func (s *Supervisor) KillLeftovers() int { return 0 }

func (s *Supervisor) adoptOrphans(context.Context) error { return nil }

func birth(int) uint64 { return 0 }
