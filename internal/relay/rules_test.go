package relay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// shell is a terminal session between two endpoints.
type shell struct {
	*world
	gens   *generations
	client *link.Endpoint
	agent  *link.Endpoint
}

func newShell(t *testing.T, change ...func(w *world)) *shell {
	t.Helper()
	w := newWorld(t)
	w.term, w.win = true, 64<<10
	for _, c := range change { // before anybody connects
		c(w)
	}
	s := &shell{world: w, gens: &generations{}}
	s.agent = link.NewEndpoint(link.EndpointConfig{
		Side: sess.SideAgent, Session: w.id, Window: w.win, Boot: sess.NewBootID(),
		Recv: []uint32{wire.ChannelMain, wire.ChannelParams}, Send: []uint32{wire.ChannelMain},
	})
	s.client = s.newClient(false)
	go w.drive(t.Context(), s.agent, sess.SideAgent, s.gens)
	t.Cleanup(func() { s.agent.Close(nil); s.client.Close(nil) })
	return s
}

func (s *shell) newClient(fresh bool) *link.Endpoint {
	return link.NewEndpoint(link.EndpointConfig{
		Side: sess.SideClient, Session: s.id, Window: s.win, Fresh: fresh,
		Send: []uint32{wire.ChannelMain, wire.ChannelParams}, Recv: []uint32{wire.ChannelMain},
		Size: func() (uint16, uint16) { return 80, 24 },
	})
}

// expect reads n bytes of a stream.
func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	done := make(chan error, 1)
	go func() { _, err := io.ReadFull(r, got); done <- err }()
	select {
	case err := <-done:
		if err != nil || string(got) != want {
			t.Fatalf("read %q, %v, want %q", got, err, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("nothing to read, want %q", want)
	}
}

func send(t *testing.T, w io.Writer, s string) {
	t.Helper()
	done := make(chan error, 1)
	go func() { _, err := io.WriteString(w, s); done <- err }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("nobody takes %q", s)
	}
}

// TestAttachSeesTheScreenAndGoesOn: a second client takes the session over; it is shown the screen, then what follows;
// its input continues where the first one's ended; the first is told.
func TestAttachSeesTheScreenAndGoesOn(t *testing.T) {
	s := newShell(t)
	first := make(chan error, 1)
	go func() { first <- s.drive(t.Context(), s.client, sess.SideClient, s.gens) }()
	send(t, s.client.Out(wire.ChannelMain), "abc")
	expect(t, s.agent.In(wire.ChannelMain), "abc")
	send(t, s.agent.Out(wire.ChannelMain), "prompt$ one\r\n")
	expect(t, s.client.In(wire.ChannelMain), "prompt$ one\r\n")

	second := s.newClient(true)
	defer second.Close(nil)
	go s.driveTakeover(t.Context(), second)
	select {
	case err := <-first:
		if !errors.Is(err, sess.ErrSuperseded) {
			t.Fatalf("the first client ended with %v, want %v", err, sess.ErrSuperseded)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the first client was not told")
	}
	send(t, second.Out(wire.ChannelMain), "def")
	expect(t, s.agent.In(wire.ChannelMain), "def")
	send(t, s.agent.Out(wire.ChannelMain), "two")
	got := readUntil(t, second.In(wire.ChannelMain), "two")
	if !strings.Contains(got, "prompt$ one") {
		t.Errorf("the second client saw %q, without the screen", got)
	}
	if strings.Count(got, "two") != 1 {
		t.Errorf("the second client saw %q, want what follows once", got)
	}
}

func readUntil(t *testing.T, r io.Reader, mark string) string {
	t.Helper()
	done := make(chan string, 1)
	go func() {
		var b strings.Builder
		buf := make([]byte, 4096)
		for !strings.Contains(b.String(), mark) {
			n, err := r.Read(buf)
			b.Write(buf[:n])
			if err != nil {
				break
			}
		}
		done <- b.String()
	}()
	select {
	case s := <-done:
		return s
	case <-time.After(10 * time.Second):
		t.Fatalf("%q did not come", mark)
		return ""
	}
}

func (s *shell) driveTakeover(ctx context.Context, e *link.Endpoint) {
	u, _ := url.Parse("http://" + s.net.addr())
	d := &link.Dialer{Server: link.Server{URL: u}, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }}
	c, err := d.Dial(ctx, fmt.Sprintf("%s/v1/stream?side=client&gen=%d&takeover=1", u, s.gens.next(sess.SideClient)), wire.Subprotocol, nil)
	if err == nil {
		_ = e.Run(ctx, c)
	}
}

// TestDetachRunsFree: once its owner left on purpose, a terminal's output flows into the record without anyone reading.
func TestDetachRunsFree(t *testing.T) {
	s := newShell(t, func(w *world) { w.free = time.Hour }) // nobody waits for this
	go s.drive(t.Context(), s.client, sess.SideClient, s.gens)
	send(t, s.agent.Out(wire.ChannelMain), "x")
	expect(t, s.client.In(wire.ChannelMain), "x")
	s.client.Detach()
	flood := make(chan error, 1)
	go func() {
		_, err := s.agent.Out(wire.ChannelMain).ReadFrom(&pattern{seed: 1, n: 1 << 20}) // sixteen windows
		flood <- err
	}()
	select {
	case err := <-flood:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("output is stuck: %s", s.agent)
	}
}

// TestOwnerAwayStalls: without the owner nothing runs on, up to the byte, until it has been away for FreeRun.
func TestOwnerAwayStalls(t *testing.T) {
	s := newShell(t)
	ctx, cut := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { gone <- s.drive(ctx, s.client, sess.SideClient, s.gens) }()
	send(t, s.agent.Out(wire.ChannelMain), "x")
	expect(t, s.client.In(wire.ChannelMain), "x")
	cut()
	<-gone
	done := make(chan struct{})
	go func() {
		_, _ = s.agent.Out(wire.ChannelMain).ReadFrom(&pattern{seed: 1, n: 1 << 20})
		close(done)
	}()
	select {
	case <-done:
		t.Error("a megabyte flowed with a window of 64 KiB and nobody there")
	case <-time.After(300 * time.Millisecond):
	}
	go s.drive(t.Context(), s.client, sess.SideClient, s.gens) // the owner is back: every byte comes
	p := &pattern{seed: 1, n: 1 << 20}
	if _, err := io.CopyN(p, s.client.In(wire.ChannelMain), 1<<20); err != nil {
		t.Error(err)
	}
	<-done
}

// TestCutEndsBothSides: both are told who ended it and why, and the recording is complete.
func TestCutEndsBothSides(t *testing.T) {
	s := newShell(t)
	client := make(chan error, 1)
	go func() { client <- s.drive(t.Context(), s.client, sess.SideClient, s.gens) }()
	send(t, s.agent.Out(wire.ChannelMain), "x")
	expect(t, s.client.In(wire.ChannelMain), "x")
	s.relay.Cut(org, s.id, wire.EndFrame{Reason: sess.EndEnded, By: "ann", Message: "enough"})
	select {
	case err := <-client:
		var end *link.EndError
		if !errors.As(err, &end) || end.By != "ann" || end.Message != "enough" {
			t.Errorf("the client ended with %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the client was not told")
	}
	s.wantComplete()
}

// wantComplete waits until the recording is complete.
func (w *world) wantComplete() {
	w.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) { //nolint:forbidigo // polls
		w.mu.Lock()
		state := w.state
		w.mu.Unlock()
		if state == sess.RecordingComplete {
			break
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("recording is %q, want complete", state)
		}
	}
}

// waitFor waits until an endpoint's state has all of words.
func waitFor(ctx context.Context, t *testing.T, e *link.Endpoint, words ...string) {
	t.Helper()
	lacks := func(word string) bool { return !strings.Contains(e.String(), word) }
	for slices.ContainsFunc(words, lacks) {
		if ctx.Err() != nil {
			t.Fatalf("not %s: %s", words, e)
		}
		time.Sleep(time.Millisecond) //nolint:forbidigo // polls
	}
}

// TestRestartBetweenExitAndDelivery: an agent that was told that its exit is on record does not state it again. The relay
// of after a restart knows it all the same, and completes the recording when the client has everything.
func TestRestartBetweenExitAndDelivery(t *testing.T) {
	w := newWorld(t)
	x := newExec(w, 10, 1000, 10)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go x.w.drive(ctx, x.client, sess.SideClient, x.gens)
	go x.w.drive(ctx, x.agent, sess.SideAgent, x.gens)
	go func() {
		_, _ = x.client.Out(wire.ChannelParams).Write([]byte("params"))
		x.client.Out(wire.ChannelParams).CloseWrite()
		_, _ = x.client.Out(wire.ChannelMain).ReadFrom(&pattern{seed: 3, n: x.in})
		x.client.Out(wire.ChannelMain).CloseWrite()
	}()
	x.stdin = &pattern{seed: 3, n: x.in}
	if err := x.process(); err != nil {
		t.Fatal(err)
	}
	waitFor(ctx, t, x.agent, "exit_ok true") // its output is on record and nobody has read it
	w.restart()
	for _, e := range []*link.Endpoint{x.client, x.agent} {
		waitFor(ctx, t, e, "epoch 2", "going true")
	}
	for ch, p := range map[uint32]*pattern{wire.ChannelMain: {seed: 1, n: x.out}, wire.ChannelStderr: {seed: 2, n: x.errs}} {
		if _, err := x.client.In(ch).WriteTo(p); err != nil || p.off != p.n {
			t.Fatalf("%d bytes arrived, %v", p.off, err)
		}
	}
	for _, e := range []*link.Endpoint{x.client, x.agent} {
		select {
		case <-e.Finished():
		case <-ctx.Done():
			t.Fatalf("not finished: %s", e)
		}
	}
	w.wantComplete()
}

// TestStopAndReset: the receiver that wants no more, and the sender that gives up, are heard at the other end.
func TestStopAndReset(t *testing.T) {
	s := newShell(t)
	go s.drive(t.Context(), s.client, sess.SideClient, s.gens)
	send(t, s.client.Out(wire.ChannelMain), "abc")
	expect(t, s.agent.In(wire.ChannelMain), "abc")
	s.agent.In(wire.ChannelMain).Stop()
	select {
	case <-s.client.Out(wire.ChannelMain).Stopped():
	case <-time.After(5 * time.Second):
		t.Fatal("stop was not heard")
	}
	if _, err := s.client.Out(wire.ChannelMain).Write(make([]byte, 1<<20)); !errors.Is(err, link.ErrStopped) {
		t.Errorf("Write after stop = %v, want %v", err, link.ErrStopped)
	}
	if err := s.agent.SendCtl(wire.CtlReset, wire.StreamRef{Channel: wire.ChannelMain}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := s.client.In(wire.ChannelMain).Read(make([]byte, 1)); done <- err }()
	select {
	case err := <-done:
		if !errors.Is(err, link.ErrReset) {
			t.Errorf("Read after reset = %v, want %v", err, link.ErrReset)
		}
	case <-time.After(5 * time.Second):
		t.Error("reset was not heard")
	}
}

// TestMisbehaviourClosesTheConnectionThatDidIt (rule 31): the relay refuses before the other end sees anything, and the
// session goes on.
func TestMisbehaviourClosesTheConnectionThatDidIt(t *testing.T) {
	data := func(ch uint32, off uint64, n int) []byte {
		return frame(wire.Header{Type: wire.Data, Channel: ch, Offset: off}, make([]byte, n))
	}
	credit := func(c, l uint64) []byte {
		return frame(wire.Header{Type: wire.Credit}, wire.AppendCredit(nil, wire.StreamCredit{StreamID: wire.StreamID{Channel: 1}, Consumed: c, Limit: l}))
	}
	for name, bad := range map[string][][]byte{
		"gap":                      {data(1, 10, 5)},
		"beyond the limit":         {data(1, 0, 30_000), data(1, 30_000, 30_000), data(1, 60_000, 30_000)},
		"credit beyond what came":  {credit(1000, 2000)},
		"a window of 17 MiB":       {credit(0, 17<<20)},
		"another participant":      {frame(wire.Header{Type: wire.Data, Channel: 1, Participant: 3}, []byte("x"))},
		"a frame of the relay":     {frame(wire.Header{Type: wire.ExitOK}, nil)},
		"an exit from the client":  {frame(wire.Header{Type: wire.ExitStatement}, []byte("{}"))},
		"an unknown type":          {frame(wire.Header{Type: 0x55}, nil)},
		"half a header":            {{1, 2, 3}},
		"hello that can't be read": {frame(wire.Header{Type: wire.Hello}, []byte{0xff, 0xff})},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShell(t)
			u, _ := url.Parse("http://" + s.net.addr())
			d := &link.Dialer{Server: link.Server{URL: u}, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }}
			c, err := d.Dial(t.Context(), fmt.Sprintf("%s/v1/stream?side=client&gen=%d", u, s.gens.next(sess.SideClient)), wire.Subprotocol, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ids := []wire.StreamID{{}, {Channel: 1}, {Channel: 3}}
			var h wire.HelloFrame
			for _, id := range ids {
				h.Recv = append(h.Recv, wire.RecvState{StreamID: id, Limit: 64 << 10})
				h.Send = append(h.Send, wire.SendState{StreamID: id})
			}
			h.Version = wire.Version
			if err := c.Write(wire.Header{Type: wire.Hello}, wire.AppendHello(nil, h)); err != nil {
				t.Fatal(err)
			}
			for _, f := range bad {
				if err := c.WriteFrame(f); err != nil {
					break
				}
			}
			for {
				h, p, err := c.Read()
				if err != nil {
					break // closed without a word is good enough for what is no frame at all
				}
				if h.Type == wire.Error {
					var e wire.ErrorFrame
					if err := json.Unmarshal(p, &e); err != nil || e.Message == "" {
						t.Errorf("error frame %q: %v", p, err)
					}
					break
				}
			}
			// The session goes on with a client that behaves: a second one, which begins where the agent stands.
			good := s.newClient(true)
			defer good.Close(nil)
			go s.drive(t.Context(), good, sess.SideClient, s.gens)
			send(t, s.agent.Out(wire.ChannelMain), "still here")
			readUntil(t, good.In(wire.ChannelMain), "still here")
		})
	}
}

func frame(h wire.Header, payload []byte) []byte {
	b := make([]byte, wire.HeaderSize, wire.HeaderSize+len(payload))
	h.Put(b)
	return append(b, payload...)
}
