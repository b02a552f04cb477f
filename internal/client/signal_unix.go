//go:build unix

package client

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/sessctl/sess/internal/sess"
)

// NotifySignals delivers the signals that mean "end" to this process, for ExecIO and TerminalIO, until stop is called. One
// that was ignored when the process was started (nohup, a shell's background job) stays ignored. A closed pipe no longer
// kills the process: the drivers act on it.
func NotifySignals() (c <-chan os.Signal, stop func()) {
	ch := make(chan os.Signal, 8)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(sig) {
			signal.Notify(ch, sig)
		}
	}
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	return ch, func() { signal.Stop(ch); signal.Stop(pipes) }
}

var signalNames = map[os.Signal]string{
	syscall.SIGINT: "SIGINT", syscall.SIGTERM: "SIGTERM", syscall.SIGHUP: "SIGHUP", syscall.SIGQUIT: "SIGQUIT",
}

// signalExit is how a process ends that sig ended.
func signalExit(sig os.Signal) sess.Exit {
	n, _ := sig.(syscall.Signal)
	return sess.Exit{Status: 128 + int(n), Signal: signalNames[sig]}
}

func brokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
