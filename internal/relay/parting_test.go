package relay_test

import (
	"context"
	"testing"
	"time"
)

// TestClientLeavesEndedSession: a client that has everything is let go once the exit is on record, so that its user's next
// command finds no session that still counts; and it goes by itself where that takes too long.
func TestClientLeavesEndedSession(t *testing.T) {
	for _, c := range []struct {
		name string
		slow bool
	}{{"on record", false}, {"a database that waits", true}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.slow = make(chan struct{})
			x := newExec(w, 10, 1000, 10)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			x.run(ctx)
			if !c.slow { // slower than the client is, faster than its patience
				time.AfterFunc(50*time.Millisecond, func() { close(w.slow) })
			}
			waitFor(ctx, t, x.client, "finished true", "connected false")
			w.mu.Lock()
			onRecord := w.exit != nil
			w.mu.Unlock()
			if onRecord == c.slow {
				t.Errorf("when the client had left, the exit was on record: %v", onRecord)
			}
			if c.slow {
				close(w.slow)
			}
			waitFor(ctx, t, x.agent, "exit_ok true")
			x.client.Close(nil)
			x.agent.Close(nil)
			x.wg.Wait()
		})
	}
}

// TestExitIsOnRecordInTheNewEpoch: an exit that is being noted while the agent opens another epoch is noted in that, and need not
// be said once more.
func TestExitIsOnRecordInTheNewEpoch(t *testing.T) {
	w := newWorld(t)
	w.slow = make(chan struct{})
	x := newExec(w, 10, 1000, 10)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	x.run(ctx)
	waitFor(ctx, t, x.client, "finished true")
	w.net.cut()
	waitFor(ctx, t, x.agent, "epoch 2", "going true")
	x.client.Close(nil)
	x.agent.Close(nil) // says nothing more
	x.wg.Wait()
	close(w.slow)
	for onRecord := false; !onRecord; time.Sleep(time.Millisecond) { //nolint:forbidigo // polls
		w.mu.Lock()
		onRecord = w.exit != nil
		w.mu.Unlock()
		if ctx.Err() != nil {
			t.Fatal("the exit is not on record")
		}
	}
}
