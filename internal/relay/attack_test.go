package relay_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// raw joins without an endpoint: it says hello and then only what the test sends.
func (s *shell) raw(t *testing.T, query string) *link.Conn {
	t.Helper()
	u, _ := url.Parse(s.srv.URL)
	d := &link.Dialer{Server: link.Server{URL: u}, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }}
	t.Cleanup(d.CloseIdle)
	c, err := d.Dial(t.Context(), fmt.Sprintf("%s/v1/stream?side=client&gen=%d%s", u, s.gens.next(sess.SideClient), query), wire.Subprotocol, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	h := wire.HelloFrame{Version: wire.Version}
	for _, ch := range []uint32{wire.ChannelCtl, wire.ChannelMain, wire.ChannelParams} {
		id := wire.StreamID{Channel: ch}
		h.Recv = append(h.Recv, wire.RecvState{StreamID: id, Limit: wire.MaxWindow})
		h.Send = append(h.Send, wire.SendState{StreamID: id})
	}
	if err := c.Write(wire.Header{Type: wire.Hello}, wire.AppendHello(nil, h)); err != nil {
		t.Fatal(err)
	}
	return c
}

// agentEnds drives the agent until it is told the end.
func (s *shell) agentEnds(t *testing.T) <-chan error {
	t.Helper()
	s.agent.Close(nil) // that of newShell
	s.mu.Lock()
	s.gens.n[1], s.gens.n[0] = s.world.gens[1], s.world.gens[0]
	s.mu.Unlock()
	agent := link.NewEndpoint(link.EndpointConfig{
		Side: sess.SideAgent, Session: s.id, Window: s.win, Boot: sess.NewBootID(),
		Recv: []uint32{wire.ChannelMain, wire.ChannelParams}, Send: []uint32{wire.ChannelMain},
	})
	t.Cleanup(func() { agent.Close(nil) })
	s.agent = agent
	ended := make(chan error, 1)
	go func() { ended <- s.drive(t.Context(), agent, sess.SideAgent, s.gens) }()
	return ended
}

func mustEnd(t *testing.T, who string, ended <-chan error) {
	t.Helper()
	select {
	case err := <-ended:
		var end *link.EndError
		if !errors.As(err, &end) {
			t.Errorf("%s ended with %v, want an end", who, err)
		}
	case <-time.After(5 * time.Second):
		t.Fatalf("%s was not told within 5 s", who)
	}
}

// TestStalledClientCannotHoldOffACut: a client that takes no byte any more, but lives, keeps neither the agent nor the
// relay from ending the session.
func TestStalledClientCannotHoldOffACut(t *testing.T) {
	w := newWorld(t)
	w.term, w.win, w.free = true, 8<<20, 0
	s := &shell{world: w, gens: &generations{}, agent: link.NewEndpoint(link.EndpointConfig{Side: sess.SideAgent, Session: w.id, Window: 1, Boot: sess.NewBootID()})}
	ended := s.agentEnds(t)
	s.raw(t, "") // it never reads
	go func() { _, _ = s.agent.Out(wire.ChannelMain).ReadFrom(&pattern{seed: 1, n: 64 << 20}) }()
	// The socket buffers of both kernels are full once nothing moves any more.
	for last, still := "", 0; still < 10; {
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // it looks for standstill
		now := s.agent.String()
		if still++; now != last {
			last, still = now, 0
		}
	}
	w.relay.Cut(org, w.id, wire.EndFrame{Reason: sess.EndRevoked})
	mustEnd(t, "the agent", ended)
}

// TestStalledClientCannotHoldOffATakeover: nor does it keep its owner from attaching elsewhere.
func TestStalledClientCannotHoldOffATakeover(t *testing.T) {
	w := newWorld(t)
	w.win = 8 << 20 // no terminal: drawing the screen of so much would take long
	s := &shell{world: w, gens: &generations{}, agent: link.NewEndpoint(link.EndpointConfig{Side: sess.SideAgent, Session: w.id, Window: 1, Boot: sess.NewBootID()})}
	s.agentEnds(t)
	s.raw(t, "")
	go func() { _, _ = s.agent.Out(wire.ChannelMain).ReadFrom(&pattern{seed: 1, n: 64 << 20}) }()
	for last, still := "", 0; still < 10; {
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // it looks for standstill
		now := s.agent.String()
		if still++; now != last {
			last, still = now, 0
		}
	}
	second := s.newClient(true)
	defer second.Close(nil)
	go s.driveTakeover(t.Context(), second)
	go func() { // the flood goes on at the second one
		buf := make([]byte, 64<<10)
		for {
			if _, err := second.In(wire.ChannelMain).Read(buf); err != nil {
				return
			}
		}
	}()
	send(t, second.Out(wire.ChannelMain), "back")
	expect(t, s.agent.In(wire.ChannelMain), "back")
}

// TestCutAndJoinAtTheSameMoment: whoever joins while a session is cut, or after it, is told or turned away; nobody stays
// connected to what is over.
func TestCutAndJoinAtTheSameMoment(t *testing.T) {
	for range 30 {
		w := newWorld(t)
		w.term = true
		s := &shell{world: w, gens: &generations{}, agent: link.NewEndpoint(link.EndpointConfig{Side: sess.SideAgent, Session: w.id, Window: 1, Boot: sess.NewBootID()})}
		ended := s.agentEnds(t)
		w.relay.Cut(org, w.id, wire.EndFrame{Reason: sess.EndEnded})
		mustEnd(t, "the agent", ended)
		for deadline := time.Now().Add(5 * time.Second); w.relay.Sessions() > 0; time.Sleep(time.Millisecond) { //nolint:forbidigo // polls
			if time.Now().After(deadline) {
				t.Fatal("the relay still holds the session")
			}
		}
	}
}

// TestJoinOfAnEndedSessionIsCut: the broker says of a side that came that the session is over.
func TestJoinOfAnEndedSessionIsCut(t *testing.T) {
	w := newWorld(t)
	w.present = func() error { return sess.New(sess.CodeEnded, "the session is over: it was ended", "") }
	s := &shell{world: w, gens: &generations{}, agent: link.NewEndpoint(link.EndpointConfig{Side: sess.SideAgent, Session: w.id, Window: 1, Boot: sess.NewBootID()})}
	mustEnd(t, "the agent", s.agentEnds(t))
}

// TestOtherBytesEndTheSession (rule 16): what is sent again has to be what is on record.
func TestOtherBytesEndTheSession(t *testing.T) {
	s := newShell(t)
	c := s.raw(t, "")
	for _, text := range []string{"abcdef", "abcdEF"} {
		if err := c.WriteFrame(frame(wire.Header{Type: wire.Data, Channel: wire.ChannelMain}, []byte(text))); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) { //nolint:forbidigo // polls
		s.mu.Lock()
		failed := append([]string(nil), s.failed...)
		s.mu.Unlock()
		if len(failed) == 1 && failed[0][:len(sess.EndTampered)] == string(sess.EndTampered) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the broker heard of %q, want tampered", failed)
		}
	}
}

// TestRefusedJoinsLeaveNothing: joins of a session that is over keep no goroutine and no connection.
func TestRefusedJoinsLeaveNothing(t *testing.T) {
	w := newWorld(t)
	w.relay.Cut(org, w.id, wire.EndFrame{Reason: sess.EndEnded})
	gens := &generations{}
	join := func() {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		e := link.NewEndpoint(link.EndpointConfig{Side: sess.SideClient, Session: w.id, Window: w.win, Send: []uint32{wire.ChannelMain}, Recv: []uint32{wire.ChannelMain}})
		defer e.Close(nil)
		var end *link.EndError
		if err := w.drive(ctx, e, sess.SideClient, gens); !errors.As(err, &end) {
			t.Fatalf("join of an ended session: %v", err)
		}
	}
	join()
	before := runtime.NumGoroutine()
	for range 100 {
		join()
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before+10; time.Sleep(5 * time.Millisecond) { //nolint:forbidigo // polls
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// TestPresenceIsToldInTheNewEpoch: a client that joins while the agent's ticket has opened an epoch already, and the agent
// is not here yet, is present all the same; else a living session would count as one whose client never came.
func TestPresenceIsToldInTheNewEpoch(t *testing.T) {
	w := newWorld(t)
	w.term = true
	s := &shell{world: w, gens: &generations{}, agent: link.NewEndpoint(link.EndpointConfig{Side: sess.SideAgent, Session: w.id, Window: 1, Boot: sess.NewBootID()})}
	s.client = s.newClient(false)
	defer s.client.Close(nil)
	w.mu.Lock()
	w.ahead = 1 // the agent has redeemed, and is on its way
	w.mu.Unlock()
	go s.drive(t.Context(), s.client, sess.SideClient, s.gens)
	for deadline := time.Now().Add(5 * time.Second); w.relay.Sessions() == 0; time.Sleep(time.Millisecond) { //nolint:forbidigo // polls
		if time.Now().After(deadline) {
			t.Fatal("the client did not join")
		}
	}
	time.Sleep(50 * time.Millisecond) //nolint:forbidigo // the agent takes a moment
	w.mu.Lock()
	w.ahead = 0
	w.mu.Unlock()
	s.agentEnds(t)
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) { //nolint:forbidigo // polls
		w.mu.Lock()
		here := w.here
		w.mu.Unlock()
		if here == [2]bool{true, true} {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the broker was told %v, want both", here)
		}
	}
}
