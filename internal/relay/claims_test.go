package relay_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// answerAsk reads until the relay asks where c stands, says so, and gives what ends the connection; nil: it goes on.
func answerAsk(t *testing.T, c *link.Conn, sends []wire.SendState) error {
	t.Helper()
	for {
		b, err := c.ReadFrame()
		if err != nil {
			return err
		}
		h, p, err := wire.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		switch h.Type {
		case wire.Ask:
			a, err := wire.DecodeAsk(p)
			if err != nil {
				t.Fatal(err)
			}
			hello := wire.HelloFrame{Version: wire.Version, Epoch: a.Epoch, Round: uint64(a.Round), Send: sends, Recv: []wire.RecvState{
				{Limit: wire.MaxCtlUnacked}, {StreamID: wire.StreamID{Channel: wire.ChannelMain}, Limit: wire.WindowGuest},
			}}
			if err := c.Write(wire.Header{Type: wire.Hello}, wire.AppendHello(nil, hello)); err != nil {
				return err
			}
		case wire.Go:
			return nil
		case wire.Error:
			return errors.New(string(p))
		}
	}
}

// TestAClientLetsGoOfNoMoreThanTheAgentTook: where a stream begins is its sender's word, and what the record lacks before
// that is counted and put down as missing. A client must not make up such gaps: they would count as bytes that it moved.
func TestAClientLetsGoOfNoMoreThanTheAgentTook(t *testing.T) {
	s := newShell(t)
	first := make(chan error, 1)
	go func() { first <- s.drive(t.Context(), s.client, sess.SideClient, s.gens) }()
	send(t, s.client.Out(wire.ChannelMain), "abc")
	expect(t, s.agent.In(wire.ChannelMain), "abc")
	s.client.Close(nil)
	<-first // it comes back no more
	u, _ := url.Parse(s.srv.URL)
	d := &link.Dialer{Server: link.Server{URL: u}, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }}
	t.Cleanup(d.CloseIdle)
	c, err := d.Dial(t.Context(), fmt.Sprintf("%s/v1/stream?side=client&gen=%d", u, s.gens.next(sess.SideClient)), wire.Subprotocol, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	far := uint64(1) << 60
	err = answerAsk(t, c, []wire.SendState{
		{}, {StreamID: wire.StreamID{Channel: wire.ChannelMain}, Base: far, Have: far}, {StreamID: wire.StreamID{Channel: wire.ChannelParams}},
	})
	if err == nil {
		t.Error("the client was let go on behind bytes that never were")
	}
	if m, ok := s.relay.Traffic(s.id); ok && m.In > 100 {
		t.Errorf("%d bytes are counted of 3", m.In)
	}
	third := s.newClient(true)
	defer third.Close(nil)
	go s.driveTakeover(t.Context(), third)
	send(t, third.Out(wire.ChannelMain), "def")
	expect(t, s.agent.In(wire.ChannelMain), "def")
}

// TestAGuestCannotBreakTheAgentsConnection: a peer who begins behind bytes that the agent never had would have the relay send
// the agent what it takes for the relay's mistake, and end the connection of everybody in the session.
func TestAGuestCannotBreakTheAgentsConnection(t *testing.T) {
	s := newShell(t)
	go func() { _ = s.drive(t.Context(), s.client, sess.SideClient, s.gens) }()
	send(t, s.client.Out(wire.ChannelMain), "abc")
	expect(t, s.agent.In(wire.ChannelMain), "abc")
	g, err := s.guest(t.Context(), 1, sess.JoinPeer, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	id := wire.StreamID{Channel: wire.ChannelMain, Participant: 1}
	err = answerAsk(t, g, []wire.SendState{{StreamID: id, Base: 100, Have: 100}})
	if err == nil {
		t.Error("a guest goes on behind bytes that the agent never had")
		_ = g.Write(wire.Header{Type: wire.Data, Channel: wire.ChannelMain, Participant: 1, Offset: 100}, []byte("x"))
		time.Sleep(200 * time.Millisecond) //nolint:forbidigo // of a test that has failed
	} else if !strings.Contains(err.Error(), "begins at 100") {
		t.Errorf("refused with %v", err)
	}
	send(t, s.client.Out(wire.ChannelMain), "def")
	expect(t, s.agent.In(wire.ChannelMain), "def")
}

// TestWhatAPeerTypesIsInput: a session in which a guest works is not idle, and its owner is not therefore there.
func TestWhatAPeerTypesIsInput(t *testing.T) {
	s := newShell(t)
	go func() { _ = s.drive(t.Context(), s.client, sess.SideClient, s.gens) }()
	send(t, s.client.Out(wire.ChannelMain), "abc")
	expect(t, s.agent.In(wire.ChannelMain), "abc")
	g, err := s.guest(t.Context(), 1, sess.JoinPeer, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := answerAsk(t, g, []wire.SendState{{StreamID: wire.StreamID{Channel: wire.ChannelMain, Participant: 1}}}); err != nil {
		t.Fatal(err)
	}
	own, typed, moved := s.relay.Activity(s.id)
	if err := g.Write(wire.Header{Type: wire.Data, Channel: wire.ChannelMain, Participant: 1}, []byte("x")); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); ; <-time.After(5 * time.Millisecond) {
		o, ty, m := s.relay.Activity(s.id)
		if o == own && ty == typed+1 && m == moved+1 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of the owner, %d typed, %d moved; before %d, %d, %d", o, ty, m, own, typed, moved)
		}
	}
}

// TestWhoWasPutOutModeratesNoMore: who joins again is put out of the connection before, which has a moment to hear of it. In that
// moment one person must not be two moderators.
func TestWhoWasPutOutModeratesNoMore(t *testing.T) {
	s := newShell(t, func(w *world) { w.moderators, w.lacking = 2, make(chan int, 100) })
	until := func(want int, most time.Duration) {
		t.Helper()
		for end := time.After(most); ; {
			select {
			case n := <-s.lacking:
				if n == want {
					return
				}
			case <-end:
				t.Fatalf("the broker was not told within %s that %d moderators are lacking", most, want)
			}
		}
	}
	go func() { _ = s.drive(t.Context(), s.client, sess.SideClient, s.gens) }()
	until(2, 10*time.Second)
	for num := range 2 {
		g, err := s.guest(t.Context(), num+1, sess.JoinModerator, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
	}
	until(0, 10*time.Second)
	send(t, s.client.Out(wire.ChannelMain), "abc")
	expect(t, s.agent.In(wire.ChannelMain), "abc")
	s.relay.Dismiss(s.id, 1, wire.EndFrame{Reason: sess.EndKicked})
	until(1, 950*time.Millisecond) // it has a second to hear of it
}

// TestWhoWasPutOutTypesNoMore: nor by another hello in the moment that they have to hear of it, of the round that was or of one that
// begins then.
func TestWhoWasPutOutTypesNoMore(t *testing.T) {
	s := newShell(t, func(w *world) { w.moderators, w.lacking = 1, make(chan int, 100) })
	go func() { _ = s.drive(t.Context(), s.client, sess.SideClient, s.gens) }()
	m, err := s.guest(t.Context(), 1, sess.JoinModerator, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	send(t, s.client.Out(wire.ChannelMain), "abc")
	expect(t, s.agent.In(wire.ChannelMain), "abc")
	p, err := s.guest(t.Context(), 2, sess.JoinPeer, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	typing := []wire.SendState{{StreamID: wire.StreamID{Channel: wire.ChannelMain, Participant: 2}}}
	if err := answerAsk(t, p, typing); err != nil {
		t.Fatal(err)
	}
	s.relay.Dismiss(s.id, 2, wire.EndFrame{Reason: sess.EndKicked})
	// The owner comes anew, which begins a round.
	second := s.newClient(true)
	defer second.Close(nil)
	go s.driveTakeover(t.Context(), second)
	send(t, second.Out(wire.ChannelMain), "def")
	expect(t, s.agent.In(wire.ChannelMain), "def")
	before := typedIn(s)
	for round := range uint64(8) {
		hello := wire.HelloFrame{Version: wire.Version, Epoch: 1, Round: round, Send: typing}
		_ = p.Write(wire.Header{Type: wire.Hello}, wire.AppendHello(nil, hello))
	}
	_ = p.Write(wire.Header{Type: wire.Data, Channel: wire.ChannelMain, Participant: 2}, []byte("rm -rf /\r"))
	for {
		if _, err := p.ReadFrame(); err != nil {
			break // its moment is over
		}
	}
	if n := typedIn(s); n != before {
		t.Errorf("%d frames were typed by who was put out", n-before)
	}
}

// typedIn counts what peers typed.
func typedIn(s *shell) uint64 {
	own, typed, _ := s.relay.Activity(s.id)
	return typed - own
}

// TestALiveSessionIsModeratedFromNowOn: rules that become stricter hold for sessions that run.
func TestALiveSessionIsModeratedFromNowOn(t *testing.T) {
	s := newShell(t, func(w *world) { w.lacking = make(chan int, 100) })
	go func() { _ = s.drive(t.Context(), s.client, sess.SideClient, s.gens) }()
	send(t, s.client.Out(wire.ChannelMain), "abc")
	expect(t, s.agent.In(wire.ChannelMain), "abc")
	s.relay.Moderate(s.id, 1)
	if n := <-s.lacking; n != 1 {
		t.Fatalf("%d moderators are lacking", n)
	}
	own, _, _ := s.relay.Activity(s.id)
	send(t, s.client.Out(wire.ChannelMain), "def") // waits at the client
	for end := time.After(100 * time.Millisecond); ; {
		select {
		case <-time.After(time.Millisecond):
			if now, _, _ := s.relay.Activity(s.id); now != own {
				t.Fatalf("%d frames passed without a moderator", now-own)
			}
			continue
		case <-end:
		}
		break
	}
	m, err := s.guest(t.Context(), 1, sess.JoinModerator, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if n := <-s.lacking; n != 0 {
		t.Fatalf("%d moderators are lacking", n)
	}
	expect(t, s.agent.In(wire.ChannelMain), "def")
	s.relay.Moderate(s.id, 0)
	s.relay.Moderate(s.id, 1) // nothing new
	send(t, s.client.Out(wire.ChannelMain), "ghi")
	expect(t, s.agent.In(wire.ChannelMain), "ghi")
}
