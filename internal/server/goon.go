package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/sess"
)

// Answers that take long, downloads and what is followed, are decided about again while they are sent: at once when the rules
// of an organisation changed on this server (a lock, a role taken away), and now and then for what changed elsewhere, or by the
// clock. What is allowed no more is cut within a second.
const (
	againEvery = 500 * time.Millisecond
	// againLeast is the time between two looks, however often rules change.
	againLeast = 100 * time.Millisecond
	// maxLong is how many of them one user is sent at a time: each looks at the database now and then for as long as it lasts.
	maxLong = 64
)

// tally counts the answers that take long, by who gets them. The zero value works.
type tally struct {
	mu sync.Mutex
	by map[sess.UserID]int
}

// begin counts one more, unless there are maxLong.
func (t *tally) begin(id sess.UserID) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by[id] >= maxLong {
		return sess.New(sess.CodeLimited, fmt.Sprintf("you are being sent %d downloads and watched lists, which is the limit", maxLong), "wait until one has ended, or end one")
	}
	if t.by == nil {
		t.by = map[sess.UserID]int{}
	}
	t.by[id]++
	return nil
}

// over counts one less.
func (t *tally) over(id sess.UserID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by[id]--; t.by[id] == 0 {
		delete(t.by, id)
	}
}

// bell wakes everybody who waits for it. The zero value works.
type bell struct {
	mu   sync.Mutex
	rung chan struct{} // closed by the next ring; nil: nobody waits
}

// ring wakes who waits now.
func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung != nil {
		close(b.rung)
		b.rung = nil
	}
}

// wait gives what is closed by the next ring.
func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung == nil {
		b.rung = make(chan struct{})
	}
	return b.rung
}

// goingOn gives a context for an answer that takes long, and a way to say that it is over. The context ends, and what is being
// written fails, when whoever gets it is allowed it no more. An error says that they are being sent enough already.
func (s *Server) goingOn(ctx context.Context, who sess.Principal, r *http.Request, req request, c *http.ResponseController) (context.Context, func(), error) {
	if err := s.long.begin(who.User); err != nil {
		return nil, nil, err
	}
	ctx, pass := gate.WithPass(ctx)
	ctx, cut := context.WithCancelCause(ctx)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		rung := s.changed.wait()
		for waitFor(done, againLeast, nil) && waitFor(done, againEvery-againLeast, rung) {
			rung = s.changed.wait()
			if err := s.stillAllowed(ctx, r, req, pass); err != nil {
				cut(err)
				_ = c.SetWriteDeadline(time.Now()) // a write that waits for a slow reader, too; a test's recorder has none
				return
			}
		}
	})
	return ctx, func() { close(done); wg.Wait(); cut(nil); s.long.over(who.User) }, nil
}

// waitFor waits for a time or until something comes sooner, and reports whether it is not all over by then.
func waitFor(over <-chan struct{}, d time.Duration, sooner <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-over:
		return false
	case <-sooner:
	case <-t.C:
	}
	return true
}

// stillAllowed gives the refusal of somebody who may not go on. What can't be found out now is looked at again.
func (s *Server) stillAllowed(ctx context.Context, r *http.Request, req request, pass *gate.Pass) error {
	_, err := s.authenticate(ctx, req, r.Header.Get("Authorization"))
	if err == nil {
		err = s.gate.Still(ctx, pass)
	}
	if e, ok := errors.AsType[*sess.Error](err); ok && e.Code != sess.CodeUnavailable && e.Code != sess.CodeInternal {
		return e
	}
	if err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "an answer that takes long was not decided about again", "path", r.URL.Path, "err", err)
	}
	return nil
}
