package client

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := loss{since: time.Now()}
		want := []time.Duration{0, 250, 500, 1000, 2000, 4000, 5000, 5000}
		for i, w := range want {
			if got := l.delay(0.999999); got.Round(10*time.Millisecond) != w*time.Millisecond {
				t.Errorf("attempt %d: %s, want %s", i+1, got, w*time.Millisecond)
			}
			if i > 0 && (&loss{since: l.since, attempt: i}).delay(0) != 0 {
				t.Errorf("attempt %d: jitter is not full", i+1)
			}
		}
		<-time.After(2*time.Minute + time.Second) // the bubble's clock
		for _, r := range []float64{0, 0.5, 0.9999} {
			if got := l.delay(r); got < 20*time.Second || got > 30*time.Second {
				t.Errorf("after two minutes: %s", got)
			}
		}
	})
}

// Every reason has words of its own, and those for which there is something to do say it.
func TestEveryEndHasWords(t *testing.T) {
	s := &Session{ID: "ses_x", Instance: "web-1", Kind: sess.KindShell, Grace: time.Minute}
	seen := map[string]sess.EndReason{}
	for _, r := range []sess.EndReason{
		sess.EndExit, sess.EndEnded, sess.EndAgentLost, sess.EndAgentGone, sess.EndDetached, sess.EndRejected, sess.EndNoAgent, sess.EndNoClient,
		sess.EndRevoked, sess.EndRemoved, sess.EndTampered, sess.EndProtocol, sess.EndRecording, sess.EndTimeout, sess.EndServerLost,
		sess.EndIdle, sess.EndMaxDuration, sess.EndLoginExpired,
	} {
		var e *sess.Error
		if !errors.As(s.ended(wire.EndFrame{Reason: r}), &e) {
			t.Fatalf("%s is no *sess.Error", r)
		}
		if other, ok := seen[e.Message]; ok {
			t.Errorf("%s and %s read the same: %q", r, other, e.Message)
		}
		seen[e.Message] = r
		if e.Hint == "" && r != sess.EndTimeout {
			t.Errorf("%s has no next step", r)
		}
	}
}

// TestNoStateOnATerminalGivenBack: who detached on a bad network is not told a moment later, in the middle of the shell's
// screen, that the connection is lost.
func TestNoStateOnATerminalGivenBack(t *testing.T) {
	lines, err := os.CreateTemp(t.TempDir(), "lines")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lines.Close() }()
	shown := func() string {
		b, err := os.ReadFile(lines.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	term, err := openTerminal(TerminalIO{In: lines, Out: lines, Lines: lines}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	term.hold("waiting")
	if !strings.Contains(shown(), "waiting") {
		t.Fatalf("an open terminal shows %q", shown())
	}
	term.close()
	before := shown()
	term.hold("connection lost, reconnecting…")
	if shown() != before {
		t.Errorf("a terminal given back shows %q", shown())
	}

	synctest.Test(t, func(t *testing.T) {
		ui := &countingUI{}
		l := loss{}
		l.begin(&Session{ui: ui}, errors.New("cut"))
		l.stop()
		<-time.After(time.Second) // the bubble's clock
		if ui.held != 0 {
			t.Error("the line comes although keep gave up")
		}
	})
}

type countingUI struct{ held int }

func (u *countingUI) hold(string) { u.held++ }
func (u *countingUI) release()    {}
func (u *countingUI) say(string)  {}
func (u *countingUI) warn(string) {}
