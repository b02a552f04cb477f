//go:build unix

package client

import (
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// onTerminal is a terminal of a session whose screen is read.
type onTerminal struct {
	*terminal

	mu   sync.Mutex
	seen strings.Builder
	wg   sync.WaitGroup
}

func newOnTerminal(t *testing.T) *onTerminal {
	t.Helper()
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	o := &onTerminal{}
	if o.terminal, err = openTerminal(TerminalIO{In: tty, Out: tty, Lines: tty}, func() {}); err != nil {
		t.Fatal(err)
	}
	o.wg.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := ptmx.Read(buf)
			o.mu.Lock()
			o.seen.Write(buf[:n])
			o.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		o.close()
		_ = tty.Close()
		o.wg.Wait() // nobody holds the terminal any more
		_ = ptmx.Close()
	})
	return o
}

func (o *onTerminal) write(t *testing.T, s string) {
	t.Helper()
	if _, err := io.WriteString(o.terminal, s); err != nil {
		t.Fatal(err)
	}
}

// want waits until the screen has all of parts, in this order, and gives what was shown.
func (o *onTerminal) want(t *testing.T, parts ...string) string {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		o.mu.Lock()
		seen := o.seen.String()
		o.mu.Unlock()
		rest, ok := seen, true
		for _, p := range parts {
			_, after, found := strings.Cut(rest, p)
			rest, ok = after, ok && found
		}
		if ok {
			return seen
		}
		if time.Now().After(deadline) {
			t.Fatalf("the screen got %q, want %q", seen, parts)
		}
	}
}

const line = "\r\n\x1b[Ksessctl: soon over\r\n"

func TestWarningAtAPrompt(t *testing.T) {
	o := newOnTerminal(t)
	o.write(t, "$ ")
	o.warn("soon over")
	o.want(t, "$ ", line)
	// Not into the middle of a sequence.
	o.write(t, "\x1b[3")
	o.warn("sooner over")
	o.write(t, "1mred")
	o.want(t, "\x1b[31mred", "sooner over")
}

// A program that has the screen for itself keeps it: the bell and the title tell, and the line comes when it is done.
func TestWarningToAFullScreenProgram(t *testing.T) {
	o := newOnTerminal(t)
	o.write(t, "\x1b[?1049hvim")
	o.warn("soon over")
	o.warn("sooner over")
	o.write(t, " goes on")
	seen := o.want(t, "vim", pushTitle+"\x1b]2;sessctl: soon over\x07\x07", "\x1b]2;sessctl: sooner over\x07\x07", "goes on")
	if strings.Count(seen, pushTitle) != 1 || strings.Contains(seen, "\x1b[Ksessctl") {
		t.Errorf("shown to a full-screen program: %q", seen)
	}
	o.write(t, "\x1b[?1049l$ ")
	o.want(t, "\x1b[?1049l$ ", popTitle, line, "sooner over\r\n")
	o.write(t, "more")
	if seen := o.want(t, "more"); strings.Count(seen, line) != 1 {
		t.Errorf("told again: %q", seen)
	}
}

// One that never gives the screen back does not keep the line from who sat there.
func TestWarningWhenTheSessionEnds(t *testing.T) {
	o := newOnTerminal(t)
	o.write(t, "\x1b[?1049hvim")
	o.warn("soon over")
	o.close()
	o.want(t, "\x1b[?1049l", popTitle, line)
	o.warn("too late")
	o.close()
	if seen := o.want(t, line); strings.Contains(seen, "too late") {
		t.Errorf("a terminal that was given back shows %q", seen)
	}
}

// What was said a while ago is not shown as if it were true now.
func TestWarningThatWaitedSaysSince(t *testing.T) {
	o := newOnTerminal(t)
	o.write(t, "\x1b[?1049hvim")
	o.warn("this session ends in 60 s")
	o.terminal.mu.Lock()
	o.later[0].said = time.Now().Add(-62 * time.Second)
	o.terminal.mu.Unlock()
	o.write(t, "\x1b[?1049l$ ")
	o.want(t, "sessctl: 1m2s ago: this session ends in 60 s\r\n")
}
