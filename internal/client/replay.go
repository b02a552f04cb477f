package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/sessctl/sess/internal/recording"
)

// ReplayHelp tells the keys of Replay, for people.
const ReplayHelp = "space stops and goes on, ← → go 10 s back and on, ↓ ↑ a minute, - + slower and faster, n p go to the next and the " +
	"previous program with --commands, q ends"

// errQuit says that somebody pressed q or Ctrl-C.
var errQuit = errors.New("quit")

// Replay plays a recording on the terminal out, steered by the keys of the terminal in. again gives the recording from its
// beginning once more. It brings the terminal back to what it was, and returns nil at the end and when somebody quits.
func Replay(ctx context.Context, in, out *os.File, p recording.Player, r recording.Records, again func() (recording.Records, error)) error {
	state, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return fmt.Errorf("put the terminal into raw mode: %w", err)
	}
	defer func() { _ = term.Restore(int(in.Fd()), state) }()
	console := openConsole(out)
	defer console()
	screen := NewScreen(out)
	defer screen.Restore()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	steps := make(chan recording.Step)
	go readKeys(ctx, in, steps, cancel)
	status := &status{out: out}
	p.Steps, p.Again = steps, again
	p.OnState = status.show
	defer status.clear()
	err = p.Play(ctx, r, screen)
	if errors.Is(context.Cause(ctx), errQuit) {
		return nil
	}
	return err //nolint:wrapcheck // it says everything
}

// readKeys turns keys into steps until ctx ends. A read that waits then is left behind: the process ends soon.
func readKeys(ctx context.Context, in io.Reader, steps chan<- recording.Step, cancel context.CancelCauseFunc) {
	var buf [64]byte
	var k keys
	for {
		n, err := in.Read(buf[:])
		if err != nil {
			return // nobody steers any more; the play goes on
		}
		for _, b := range buf[:n] {
			s, quit := k.key(b)
			if quit {
				cancel(errQuit)
				return
			}
			if s == (recording.Step{}) {
				continue
			}
			select {
			case steps <- s:
			case <-ctx.Done():
				return
			}
		}
	}
}

// Steps of keys.
const (
	seekNear = 10 * time.Second
	seekFar  = time.Minute
	faster   = 1.5
)

// keys reads keys, of which arrows come as ESC [ A or ESC O A.
type keys struct{ seen int }

func (k *keys) key(b byte) (s recording.Step, quit bool) {
	switch {
	case b == 0x1b:
		k.seen = 1
		return s, false
	case k.seen == 1 && (b == '[' || b == 'O'):
		k.seen = 2
		return s, false
	case k.seen == 2:
		k.seen = 0
		switch b {
		case 'A':
			s.Seek = seekFar
		case 'B':
			s.Seek = -seekFar
		case 'C':
			s.Seek = seekNear
		case 'D':
			s.Seek = -seekNear
		}
		return s, false
	}
	k.seen = 0
	switch b {
	case ' ':
		s.Pause = true
	case '+', '=':
		s.Speed = faster
	case '-', '_':
		s.Speed = 1 / faster
	case 'l':
		s.Seek = seekNear
	case 'h':
		s.Seek = -seekNear
	case 'n':
		s.Program = 1
	case 'p', 'N':
		s.Program = -1
	case 'q', 0x03, 0x04:
		return s, true
	}
	return s, false
}

// status says in the window's title where a play is: what a recording puts there does not stay. A Screen that is a terminal
// takes sequences whole, so that there is always room between them.
type status struct {
	out io.Writer
	set bool
}

func (s *status) show(st recording.State) {
	sign := "▶"
	if st.Paused {
		sign = "⏸"
	}
	s.set = true
	text := fmt.Sprintf("%s %s ×%.2g %s", sign, recording.Clock(st.At), st.Speed, st.Program)
	_, _ = io.WriteString(s.out, "\x1b]2;"+strings.TrimSpace(text)+"\x1b\\")
}

func (s *status) clear() {
	if s.set {
		_, _ = io.WriteString(s.out, "\x1b]2;\x1b\\")
	}
}
