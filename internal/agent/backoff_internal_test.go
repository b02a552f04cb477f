package agent

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	now := time.Unix(1, 0)
	var b backoff
	if d := b.next(now); d != 0 {
		t.Errorf("first wait = %v, want none", d)
	}
	for range 50 {
		now = now.Add(time.Second)
		if d := b.next(now); d < 0 || d >= backoffCap {
			t.Errorf("wait within two minutes = %v, want less than %v", d, backoffCap)
		}
	}
	now = now.Add(backoffSoon)
	for range 50 {
		if d := b.next(now); d < 20*time.Second || d > 30*time.Second {
			t.Errorf("later wait = %v, want 20 to 30 s", d)
		}
	}
	b.reset()
	if d := b.next(now); d != 0 {
		t.Errorf("wait after a reset = %v, want none", d)
	}
}
