package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// guest dials as participant num in a role, by a ticket of generation gen.
func (w *world) guest(ctx context.Context, num int, role sess.JoinRole, gen uint64) (*link.Conn, error) {
	u, _ := url.Parse("http://" + w.net.addr())
	d := &link.Dialer{Server: link.Server{URL: u}, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }}
	defer d.CloseIdle()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return d.Dial(ctx, fmt.Sprintf("%s/v1/stream?side=client&num=%d&role=%s&gen=%d", u, num, role, gen), wire.Subprotocol, nil)
}

// keepGuest keeps a peer connected until ctx ends.
func (w *world) keepGuest(ctx context.Context, e *link.Endpoint, num int) {
	for gen := uint64(1); ctx.Err() == nil; gen++ {
		c, err := w.guest(ctx, num, sess.JoinPeer, gen)
		if err == nil {
			var end *link.EndError
			if err = e.Run(ctx, c); errors.As(err, &end) {
				return
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// TestGuestsUnderFaults: while an exec runs, peers type and observers come, go and stall, and connections are cut at
// random. Every byte of the owner arrives once, every byte of every peer too, and all of it is on record by who sent it.
func TestGuestsUnderFaults(t *testing.T) {
	const peers, typed = 3, 20_000
	for seed := range seeds(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 7))
			w := newWorld(t)
			x := newExec(w, uint64(r.IntN(300_000)), 200_000+uint64(r.IntN(600_000)), uint64(r.IntN(50_000)))
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			defer cancel()
			var wg sync.WaitGroup
			defer wg.Wait()
			got := map[uint16]*pattern{}
			all := make(chan struct{})
			x.hold = all
			for p := range peers {
				got[uint16(p+1)] = &pattern{seed: byte(10 + p), n: typed}
			}
			gctx, stop := context.WithCancel(ctx)
			defer stop()
			wg.Go(func() {
				left := peers
				_ = x.agent.ReadGuests(func(num uint16, b []byte) error {
					if _, err := got[num].Write(b); err != nil {
						t.Error(err)
						return err
					}
					if got[num].off == typed {
						if left--; left == 0 {
							close(all)
						}
					}
					return nil
				})
			})
			for p := range peers {
				e := link.NewEndpoint(link.EndpointConfig{
					Side: sess.SideClient, Session: w.id, Window: wire.WindowGuest, Send: []uint32{wire.ChannelMain}, Participant: uint16(p + 1),
					Show: func(wire.Header, []byte) error { return nil },
				})
				wg.Go(func() { w.keepGuest(gctx, e, p+1) })
				wg.Go(func() { _, _ = io.Copy(e.Out(wire.ChannelMain), &pattern{seed: byte(10 + p), n: typed}) })
				defer e.Close(nil)
			}
			wg.Go(func() { // observers that take nothing
				for gen := uint64(1); gctx.Err() == nil; gen++ {
					if c, err := w.guest(gctx, 50, sess.JoinObserver, gen); err == nil {
						select {
						case <-gctx.Done():
						case <-time.After(20 * time.Millisecond):
						}
						c.Close()
					}
				}
			})
			gate := make(chan struct{})
			wg.Go(func() {
				defer close(gate)
				for range r.IntN(15) {
					select {
					case <-time.After(time.Duration(r.IntN(5000)) * time.Microsecond):
					case <-gctx.Done():
						return
					}
					w.net.fault(r)
				}
			})
			x.run(ctx)
			select {
			case <-all:
			case <-ctx.Done():
				t.Errorf("not all that participants typed arrived; agent %s", x.agent)
			}
			<-gate
			stop()
			x.check(t)
			w.guestsRecorded(t, got)
		})
	}
}

// guestsRecorded checks that what each peer typed is on record, once, in order and as theirs.
func (w *world) guestsRecorded(t *testing.T, want map[uint16]*pattern) {
	t.Helper()
	r, err := w.dir.OpenReader(org, w.id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	seen := map[uint16]*pattern{}
	for num, p := range want {
		seen[num] = &pattern{seed: p.seed, n: p.n}
	}
	for {
		rec, err := r.Next()
		if err != nil {
			break
		}
		if rec.Kind != recording.KindFrame || rec.Header.Participant == 0 {
			continue
		}
		p := seen[rec.Header.Participant]
		if rec.Side != sess.SideClient || rec.Header.Offset != p.off {
			t.Fatalf("participant %d: record at offset %d, want %d", rec.Header.Participant, rec.Header.Offset, p.off)
		}
		if _, err := p.Write(rec.Payload); err != nil {
			t.Fatal(err)
		}
	}
	for num, p := range seen {
		if p.off != p.n {
			t.Errorf("participant %d: %d of %d bytes on record", num, p.off, p.n)
		}
	}
}

// TestGuestMistakes: what a participant may not do costs them their connection, and nobody else's.
func TestGuestMistakes(t *testing.T) {
	w := newWorld(t)
	x := newExec(w, 100, 100_000, 100)
	x.hold = make(chan struct{})
	x.run(t.Context())
	for name, f := range map[string]struct {
		role sess.JoinRole
		h    wire.Header
	}{
		"an observer types":       {sess.JoinObserver, wire.Header{Type: wire.Data, Channel: wire.ChannelMain, Participant: 7}},
		"a moderator types":       {sess.JoinModerator, wire.Header{Type: wire.Data, Channel: wire.ChannelMain, Participant: 7}},
		"as the owner":            {sess.JoinPeer, wire.Header{Type: wire.Data, Channel: wire.ChannelMain}},
		"as somebody else":        {sess.JoinPeer, wire.Header{Type: wire.Data, Channel: wire.ChannelMain, Participant: 8}},
		"the session's params":    {sess.JoinPeer, wire.Header{Type: wire.Data, Channel: wire.ChannelParams, Participant: 7}},
		"control messages":        {sess.JoinPeer, wire.Header{Type: wire.Ctl, Participant: 7}},
		"done for the owner":      {sess.JoinPeer, wire.Header{Type: wire.Done}},
		"the end of the input":    {sess.JoinPeer, wire.Header{Type: wire.Data, Flags: wire.FlagFIN, Channel: wire.ChannelMain, Participant: 7}},
		"an exit":                 {sess.JoinPeer, wire.Header{Type: wire.ExitStatement}},
		"beyond what was allowed": {sess.JoinPeer, wire.Header{Type: wire.Hello}},
	} {
		c, err := w.guest(t.Context(), 7, f.role, uint64(time.Now().UnixNano()))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Write(f.h, []byte{1, '{', '}'}); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		for {
			h, _, err := c.Read()
			if err != nil {
				t.Errorf("%s: %v, want an error frame", name, err)
				break
			}
			if h.Type == wire.Error {
				break
			}
		}
		c.Close()
	}
	close(x.hold)
	x.check(t)
}
