//go:build unix

package client_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/client"
	"github.com/sessctl/sess/internal/sess"
)

// farAway is a way to addr with a round trip of rtt: what goes in at one end comes out at the other half of it later,
// however much is under way. A connection takes one round trip to make.
func farAway(t *testing.T, addr string, rtt time.Duration) (string, func() int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var mu sync.Mutex
	n := 0
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			n++
			mu.Unlock()
			far, err := net.Dial("tcp", addr)
			if err != nil {
				_ = near.Close()
				continue
			}
			go carry(far, near, rtt/2, rtt) // the handshake's round trip
			go carry(near, far, rtt/2, 0)
		}
	}()
	return l.Addr().String(), func() int { mu.Lock(); defer mu.Unlock(); return n }
}

func carry(dst, src net.Conn, delay, first time.Duration) {
	type piece struct {
		b  []byte
		at time.Time
	}
	way := make(chan piece, 1024)
	go func() {
		defer dst.Close()
		for p := range way {
			<-time.After(time.Until(p.at))
			if _, err := dst.Write(p.b); err != nil {
				return
			}
		}
	}()
	defer close(way)
	opened := time.Now().Add(first)
	for {
		b := make([]byte, 64<<10)
		n, err := src.Read(b)
		if n > 0 {
			at := time.Now()
			if at.Before(opened) {
				at = opened
			}
			way <- piece{b[:n], at.Add(delay)}
		}
		if err != nil {
			return
		}
	}
}

// A start takes TCP, TLS, the call, the upgrade and the first bytes: five round trips on one connection. A busy machine
// only adds to that, so the best of a few counts.
func TestStartTakesFiveRoundTrips(t *testing.T) {
	w := newWorld(t)
	best := 100.0
	for range 4 {
		trips, conns := firstOutput(t, w, 200*time.Millisecond)
		if conns != 1 {
			t.Fatalf("it took %d connections", conns)
		}
		if best = min(best, trips); best < 6 {
			break
		}
	}
	t.Logf("first output after %.2f round trips", best)
	if best >= 6 {
		t.Errorf("first output after %.2f round trips", best)
	}
}

// firstOutput starts a command over a long line and says after how many round trips its first output was here, and how
// many connections that took.
func firstOutput(t *testing.T, w *world, rtt time.Duration) (trips float64, conns int) {
	t.Helper()
	addr, count := farAway(t, w.srv.Listener.Addr().String(), rtt)
	server := w.server()
	server.URL.Host = addr
	w.mu.Lock()
	w.far = addr
	w.mu.Unlock()
	c := client.Open(client.Profile{Server: server, Bearer: "x"})
	defer c.Close()
	began := time.Now()
	s, err := c.Start(t.Context(), client.StartOptions{Instance: "web-1", Kind: sess.KindExec, Params: sess.Params{Argv: []string{"echo", "hi"}}})
	if err != nil {
		t.Fatal(err)
	}
	r, pw := io.Pipe()
	seen := make(chan time.Duration, 1)
	go func() {
		_, _ = r.Read(make([]byte, 10))
		seen <- time.Since(began)
		_, _ = io.Copy(io.Discard, r)
	}()
	if _, err := s.Exec(t.Context(), client.ExecIO{Out: pw, Err: io.Discard, Lines: io.Discard}); err != nil {
		t.Fatal(err)
	}
	_ = pw.Close()
	return float64(<-seen) / float64(rtt), count()
}
