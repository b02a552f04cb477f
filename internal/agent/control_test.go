package agent_test

import (
	"bufio"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/agent"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

func TestHelloAndLoad(t *testing.T) {
	w := newWorld(t)
	w.start(agent.Config{})
	l := w.link()
	w.mu.Lock()
	h := w.hellos[0]
	w.mu.Unlock()
	if h.Instance != w.id || !sess.ValidID("boo", string(h.Boot)) || h.Protocol != wire.Version || h.Host.Hostname == "" || h.Host.RunsAs != myName(t) {
		t.Errorf("hello = %+v", h)
	}
	load := wait(t, l.loads, "a load")
	if load.MemTotal == 0 || load.MemFree == 0 || load.DiskTotal == 0 || load.UptimeSecs == 0 {
		t.Errorf("load = %+v", load)
	}
	eventually(t, "the status says connected", func() bool {
		s, err := agent.ReadStatus(w.state)
		return err == nil && s.Running && s.Connected && s.Name == "web-1" && s.PID != 0
	})
}

func TestComesBackByItself(t *testing.T) {
	w := newWorld(t)
	w.start(agent.Config{})
	for range 3 {
		w.link().Close()
	}
	w.link()
}

func TestRefusedAgentSaysSo(t *testing.T) {
	w := newWorld(t)
	w.refuse = &wire.Control{T: wire.ControlRefuse, Code: sess.CodeUnauthenticated, Message: "this instance was removed", Hint: "enrol it again"}
	w.start(agent.Config{})
	eventually(t, "the status says why", func() bool {
		s, err := agent.ReadStatus(w.state)
		return err == nil && s.Running && !s.Connected && s.Problem == "this instance was removed" && s.Hint == "enrol it again"
	})
	pauseFor(t.Context(), 300*time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.hellos); n != 1 {
		t.Errorf("%d hellos to a server that refuses, want one in minutes", n)
	}
}

func TestChangedCertificateIsRefused(t *testing.T) {
	w := newWorld(t)
	if _, err := agent.Enroll(t.Context(), w.enrolment()); err != nil {
		t.Fatal(err)
	}
	id, _, err := w.state.Load()
	if err != nil {
		t.Fatal(err)
	}
	if id.Server != w.server.String() {
		t.Fatalf("pinned %q, want %q", id.Server, w.server)
	}
	rewrite(t, w.state, id.Server, strings.Replace(id.Server, "sha256:", "sha256:00", 1)[:len(id.Server)])
	w.start(agent.Config{})
	eventually(t, "the status says why", func() bool {
		s, err := agent.ReadStatus(w.state)
		return err == nil && strings.Contains(s.Problem, "CERTIFICATE") && !s.Connected
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.hellos) != 0 {
		t.Error("the agent spoke to a server with another certificate")
	}
}

func TestOrdersOfStrangersAreNotObeyed(t *testing.T) {
	w := newWorld(t)
	w.start(agent.Config{})
	l := w.link()
	s := w.run(l, sess.KindExec, sess.Params{Argv: []string{"sh", "-c", "echo $$; exec cat"}})
	pid, _ := strconv.Atoi(strings.TrimSpace(s.expect(wire.ChannelMain, "\n")))
	signed, err := wire.Sign(w.broker, wire.PurposeOffer, wire.Order{Nonce: l.nonce, Session: s.id, Hard: true}) // another purpose
	if err != nil {
		t.Fatal(err)
	}
	_ = l.WriteControl(wire.Control{T: wire.ControlOrder, Signed: signed})
	if signed, err = wire.Sign(w.broker, wire.PurposeOrder, wire.Order{Nonce: "of another link", Session: s.id, Hard: true}); err != nil {
		t.Fatal(err)
	}
	_ = l.WriteControl(wire.Control{T: wire.ControlOrder, Signed: signed})
	_ = l.WriteControl(wire.Control{T: wire.ControlOrder})
	s.write("still here")
	s.expect(wire.ChannelMain, "still here")
	if !alive(pid) {
		t.Error("a session was ended by an order that does not count")
	}
}

// TestWithoutAnyServer sees the agent end a session by itself when its lease runs out, and not before.
func TestWithoutAnyServer(t *testing.T) {
	w := newWorld(t)
	w.start(agent.Config{})
	l := w.link()
	params := []byte(`{"argv":["sh","-c","echo $$; exec sleep 1000"]}`)
	o := w.offerOf(l, sess.NewSessionID(), sess.KindExec, params)
	o.LeaseMS = 1500
	w.send(l, o, w.broker)
	if m := l.next(t, wire.ControlAccept); m.LeaseMS != 1500 {
		t.Errorf("the agent says that the lease is %d ms", m.LeaseMS)
	}
	s := w.client(o.Session, sess.Params{}, params)
	pid, _ := strconv.Atoi(strings.TrimSpace(s.expect(wire.ChannelMain, "\n")))
	pauseFor(t.Context(), 2*time.Second)
	if !alive(pid) {
		t.Fatal("ended though the server was there: it says nothing by itself, and has to be asked")
	}
	w.mu.Lock()
	w.refuse = &wire.Control{T: wire.ControlRefuse, Code: sess.CodeUnavailable, Message: "starting"}
	w.mu.Unlock()
	began := time.Now()
	l.Close()
	w.relay(s.id).cut(sess.SideAgent)
	eventually(t, "the session is ended", func() bool { return !alive(pid) })
	if d := time.Since(began); d < 400*time.Millisecond { // the last word may have come a third of the lease and some looks before
		t.Errorf("ended after %v, before its lease", d)
	}
	w.mu.Lock()
	w.refuse = nil
	w.mu.Unlock()
	l = w.link()
	w.mu.Lock()
	hello := w.hellos[len(w.hellos)-1]
	w.mu.Unlock()
	if !slices.Contains(hello.Lapsed, o.Session) || slices.Contains(hello.Sessions, o.Session) {
		t.Errorf("the next hello is %+v", hello)
	}
	if m := l.next(t, wire.ControlOver); m.Session != o.Session || m.Exit == nil || m.Exit.Reason != sess.EndServerLost {
		t.Errorf("it says %+v", m)
	}
}

// TestThroughProxy runs a session through a CONNECT proxy that wants a password.
func TestThroughProxy(t *testing.T) {
	w := newWorld(t)
	var tunnels atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		want := "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:s3cret"))
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != want {
			rw.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		tunnels.Add(1)
		tunnel(rw, r.Host)
	}))
	defer proxy.Close()
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("ann", "s3cret")
	through := http.ProxyURL(u)
	w.change = func(o *agent.Options) { o.Proxy = through }
	e := w.enrolment()
	e.Proxy = through
	if _, err := agent.Enroll(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	stop := w.start(agent.Config{})
	s := w.run(w.link(), sess.KindExec, sess.Params{Argv: []string{"echo", "hi"}})
	if got := s.read(wire.ChannelMain); got != "hi\n" {
		t.Errorf("output = %q", got)
	}
	s.read(wire.ChannelStderr)
	s.exit()
	if n := tunnels.Load(); n < 2 {
		t.Errorf("%d connections through the proxy, want the control link and the stream at least", n)
	}
	stop()
	w.http.CloseClientConnections()
}

func tunnel(rw http.ResponseWriter, host string) {
	up, err := net.Dial("tcp", host)
	if err != nil {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	rw.WriteHeader(http.StatusOK)
	down, buf, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		_ = up.Close()
		return
	}
	go func() { defer up.Close(); _, _ = io.Copy(up, io.MultiReader(bufio.NewReader(buf.Reader), down)) }()
	go func() { defer down.Close(); _, _ = io.Copy(down, up) }()
}
