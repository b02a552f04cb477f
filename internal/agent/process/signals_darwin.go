package process

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// CleanSignals undoes what this process was started with, for the sake of the processes it will start: what was ignored
// (by & or nohup) gets a handler until ctx ends, which children don't inherit.
func CleanSignals(ctx context.Context) error {
	c := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTSTP} {
		if signal.Ignored(sig) {
			signal.Notify(c, sig)
		}
	}
	context.AfterFunc(ctx, func() { signal.Stop(c) })
	return nil
}
