package client

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/sessctl/sess/internal/sess"
)

// NotifySignals delivers the events that mean "end" to this process, for ExecIO and TerminalIO, until stop is called:
// Ctrl-C and Ctrl-Break as os.Interrupt, a closing console as SIGTERM.
func NotifySignals() (c <-chan os.Signal, stop func()) {
	ch := make(chan os.Signal, 8)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	return ch, func() { signal.Stop(ch) }
}

// signalExit is how a process ends that sig ended.
func signalExit(sig os.Signal) sess.Exit {
	if sig == os.Interrupt {
		return sess.Exit{Status: 128 + int(syscall.SIGINT), Signal: "SIGINT"}
	}
	return sess.Exit{Status: 128 + int(syscall.SIGTERM), Signal: "SIGTERM"}
}

const errorNoData = syscall.Errno(232) // ERROR_NO_DATA: the pipe is being closed

func brokenPipe(err error) bool {
	return errors.Is(err, syscall.ERROR_BROKEN_PIPE) || errors.Is(err, errorNoData) || errors.Is(err, syscall.EPIPE)
}
