package client

import (
	"errors"
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
