package client

import (
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// openConsole has the console act on escape sequences.
func openConsole(out *os.File) (undo func()) {
	var mode uint32
	h := windows.Handle(out.Fd())
	if windows.GetConsoleMode(h, &mode) != nil {
		return func() {}
	}
	_ = windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING|windows.DISABLE_NEWLINE_AUTO_RETURN)
	return func() { _ = windows.SetConsoleMode(h, mode) }
}

// resizes wakes the driver when the terminal's size may have changed. Windows has no signal for it.
type resizes struct {
	c    chan struct{}
	quit chan struct{}
}

const resizePoll = 250 * time.Millisecond

func watchResize(*terminal) *resizes {
	r := &resizes{c: make(chan struct{}, 1), quit: make(chan struct{})}
	go func() { // ends with stop
		tick := time.NewTicker(resizePoll)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
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
	select {
	case <-r.quit:
	default:
		close(r.quit)
	}
}
