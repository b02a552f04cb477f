//go:build unix

package client

import (
	"os"
	"os/signal"
	"syscall"
)

// openConsole has nothing to do here: terminals understand escape sequences.
func openConsole(*os.File) (undo func()) { return func() {} }

// resizes wakes the driver when the terminal's size changed.
type resizes struct {
	c    chan struct{}
	sig  chan os.Signal
	quit chan struct{}
}

// watchResize follows SIGWINCH, takes the terminal back after SIGCONT, and keeps a SIGTSTP from stopping the process with
// the terminal in raw mode: Ctrl-Z is for the session.
func watchResize(t *terminal) *resizes {
	r := &resizes{c: make(chan struct{}, 1), sig: make(chan os.Signal, 4), quit: make(chan struct{})}
	signal.Notify(r.sig, syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGTSTP)
	go func() { // ends with stop
		for {
			select {
			case s := <-r.sig:
				if s == syscall.SIGTSTP {
					continue
				}
				if s == syscall.SIGCONT {
					t.again()
				}
				select {
				case r.c <- struct{}{}:
				default:
				}
			case <-r.quit:
				return
			}
		}
	}()
	return r
}

func (r *resizes) stop() {
	signal.Stop(r.sig)
	select {
	case <-r.quit:
	default:
		close(r.quit)
	}
}
