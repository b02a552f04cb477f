package process

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// cleanMark is in the environment of a process that CleanSignals has started over, so that it does so once.
const cleanMark = "SESS_AGENT_CLEAN"

// CleanSignals undoes what this process was started with, for the sake of the processes it will start: a program started
// with & or nohup ignores SIGINT, SIGQUIT or SIGHUP, and hands that on to shells, where it kills Ctrl-C. A blocked signal
// can be unblocked for children only by executing this program again; what was ignored gets a handler until ctx ends,
// which children don't inherit.
func CleanSignals(ctx context.Context) error {
	ignored, blocked, err := signalMasks()
	if err != nil {
		return err
	}
	if blocked != 0 && os.Getenv(cleanMark) == "" {
		if err := again(); err != nil {
			return fmt.Errorf("start over with signals unblocked: %w", err)
		}
	}
	_ = os.Unsetenv(cleanMark)
	c := make(chan os.Signal, 1)
	for sig := 1; sig < 32; sig++ {
		if ignored&(1<<(sig-1)) != 0 && syscall.Signal(sig) != unix.SIGPIPE && syscall.Signal(sig) != unix.SIGCHLD {
			signal.Notify(c, syscall.Signal(sig))
		}
	}
	context.AfterFunc(ctx, func() { signal.Stop(c) })
	return nil
}

// signalMasks gives the signals that this process ignores and those that this thread blocks, as all of our threads do that were not
// told otherwise, as bits. The mask in /proc/self/status is that of the first thread, which blocks everything while it forks.
func signalMasks() (ignored, blocked uint64, err error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0, fmt.Errorf("read own signals: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		if bits, perr := strconv.ParseUint(strings.TrimSpace(value), 16, 64); perr == nil && name == "SigIgn" {
			ignored = bits
		}
	}
	var mask unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, nil, &mask); err != nil {
		return 0, 0, fmt.Errorf("read own signals: %w", err)
	}
	return ignored, uint64(mask.Val[0]), nil
}

// again executes this program anew with no signal blocked: the mask of the thread that does so is inherited.
func again() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var none unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, nil); err != nil {
		return err
	}
	return syscall.Exec(exe, os.Args, append(os.Environ(), cleanMark+"=1")) //nolint:gosec // this very program
}
