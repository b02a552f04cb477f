package server

import (
	"context"
	"sync"
)

// conns are the WebSockets under way. http.Server forgets a connection that was upgraded, so somebody else has to know.
type conns struct {
	ctx    context.Context // ends when the server goes down hard
	cancel context.CancelFunc

	mu     sync.Mutex // protects the following
	closed bool
	wg     sync.WaitGroup // waits for what add started
}

func newConns(ctx context.Context) *conns {
	c := &conns{}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c
}

// add runs f in a goroutine, unless the server is going down. stop is called when it goes down while f runs.
func (c *conns) add(stop func(), f func(context.Context)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.wg.Go(func() {
		defer context.AfterFunc(c.ctx, stop)()
		f(c.ctx)
	})
	return true
}

// close takes no more, stops what runs, and waits for it.
func (c *conns) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
}
