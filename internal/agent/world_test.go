package agent_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/user"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sessctl/sess/internal/agent"
	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// patience is how long tests wait for what must happen.
const patience = 15 * time.Second

const serverName = "sess.example.test"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a server as an agent sees it: enrolment, control links, and streams that are joined two by two.
type world struct {
	t      *testing.T
	http   *httptest.Server
	server link.Server
	broker ed25519.PrivateKey
	state  agent.StateDir
	token  string
	change func(*agent.Options) // of the agents that start; nil: nothing
	id     sess.InstanceID

	links chan *control // welcomed control links, as they come

	mu      sync.Mutex // protects the following
	agent   ed25519.PublicKey
	refuse  *wire.Control // answers the next hellos
	tickets map[string]sess.SessionID
	relays  map[sess.SessionID]*relay
	hellos  []wire.AgentHello
}

func newWorld(t *testing.T) *world {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, broker: key, state: agent.StateDir(t.TempDir()), id: sess.NewInstanceID(), links: make(chan *control, 16),
		tickets: map[string]sess.SessionID{}, relays: map[sess.SessionID]*relay{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/enrol", w.enrol)
	mux.HandleFunc("GET "+api.PathAgent, w.control)
	mux.HandleFunc("GET "+api.PathStream, w.stream)
	w.http = httptest.NewTLSServer(mux)
	t.Cleanup(w.http.Close)
	u, err := url.Parse(w.http.URL)
	if err != nil {
		t.Fatal(err)
	}
	w.server = link.Server{URL: u, Pin: link.Pin(w.http.Certificate())}
	if w.token, err = sess.NewToken(sess.TokenEnrol, w.server.Pin); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) enrolment() agent.Enrolment {
	return agent.Enrolment{State: w.state, Server: w.http.URL, Token: w.token, Name: "web-1", Version: "v0"}
}

func (w *world) enrol(rw http.ResponseWriter, r *http.Request) {
	var in api.EnrolIn
	if err := json.NewDecoder(r.Body).Decode(&in.Body); err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	hash := sha256.Sum256([]byte(w.token))
	if in.Body.Token != w.token || !ed25519.Verify(in.Body.PublicKey, wire.SignedMessage(wire.PurposeEnrol, hash[:]), in.Body.Signature) {
		p := api.NewProblem(sess.New(sess.CodeExpired, "the token is used up", "make another"), "")
		rw.WriteHeader(p.Status)
		_ = json.NewEncoder(rw).Encode(p)
		return
	}
	w.mu.Lock()
	w.agent = in.Body.PublicKey
	w.mu.Unlock()
	_ = json.NewEncoder(rw).Encode(api.EnrolOut{
		Instance: w.id, Name: in.Body.Name, BrokerKeys: [][]byte{w.broker.Public().(ed25519.PublicKey)},
		Server: api.ServerInfo{Name: serverName},
	})
}

// control is the server's end of one control link.
type control struct {
	*link.Conn
	nonce string
	in    chan wire.Control // what the agent says, without loads; closed with the link
	loads chan *wire.Load
}

func (w *world) control(rw http.ResponseWriter, r *http.Request) {
	c, err := link.Accept(rw, r, wire.ControlSubprotocol)
	if err != nil {
		return
	}
	nonce := make([]byte, 32)
	_, _ = rand.Read(nonce)
	l := &control{Conn: c, nonce: base64.RawURLEncoding.EncodeToString(nonce), in: make(chan wire.Control, 64), loads: make(chan *wire.Load, 64)}
	defer close(l.in)
	defer c.Close()
	_ = c.WriteControl(wire.Control{T: wire.ControlChallenge, Nonce: l.nonce})
	m, err := c.ReadControl()
	if err != nil || m.Hello == nil {
		return
	}
	w.mu.Lock()
	good := ed25519.Verify(w.agent, wire.SignedMessage(wire.PurposeAgentHello, []byte(l.nonce), []byte(serverName)), m.Hello.Signature)
	w.hellos = append(w.hellos, *m.Hello)
	refuse := w.refuse
	w.mu.Unlock()
	if !good || refuse != nil {
		if refuse == nil {
			refuse = &wire.Control{T: wire.ControlRefuse, Code: sess.CodeUnauthenticated, Message: "wrong signature"}
		}
		_ = c.WriteControl(*refuse)
		return
	}
	_ = c.WriteControl(wire.Control{T: wire.ControlWelcome, Name: "web-1"})
	w.links <- l
	for {
		m, err := c.ReadControl()
		if err != nil {
			return
		}
		if m.T == wire.ControlBeat {
			l.loads <- m.Load
			continue
		}
		l.in <- m
	}
}

// start enrols and runs an agent until the test ends or stop is called.
func (w *world) start(cfg agent.Config) (stop func()) {
	w.t.Helper()
	if !w.state.Enrolled() {
		if _, err := agent.Enroll(w.t.Context(), w.enrolment()); err != nil {
			w.t.Fatal(err)
		}
	}
	if cfg.DefaultUser == "" && os.Getuid() == 0 {
		cfg.DefaultUser = "root"
	}
	log := slog.New(slog.NewTextHandler(&lines{t: w.t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	opts := agent.Options{State: w.state, Config: cfg, Version: "v0", Log: log}
	if w.change != nil {
		w.change(&opts)
	}
	a, err := agent.New(opts)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					w.t.Errorf("agent: %v", err)
				}
			case <-time.After(patience):
				w.t.Error("the agent does not stop")
			}
		})
	}
	w.t.Cleanup(stop)
	return stop
}

// link waits for the next control link.
func (w *world) link() *control {
	w.t.Helper()
	return wait(w.t, w.links, "a control link")
}

func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v, ok := <-c:
		if !ok {
			t.Fatalf("waiting for %s: the link is closed", what)
		}
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

// next waits for the agent's next message and checks its type.
func (c *control) next(t *testing.T, typ string) wire.Control {
	t.Helper()
	m := wait(t, c.in, typ)
	if m.T != typ {
		t.Fatalf("agent says %+v, want %s", m, typ)
	}
	return m
}

// offerOf makes the offer of a session.
func (w *world) offerOf(l *control, id sess.SessionID, kind sess.Kind, params []byte) wire.Offer {
	hash := sha256.Sum256(params)
	return wire.Offer{
		Nonce: l.nonce, Instance: w.id, Session: id, Kind: kind, ParamsHash: hash[:],
		Expires: time.Now().Add(time.Minute).Unix(), GraceMS: 60_000, By: "ann@example.test",
	}
}

// send sends an offer, signed by key.
func (w *world) send(l *control, o wire.Offer, key ed25519.PrivateKey) {
	w.t.Helper()
	signed, err := wire.Sign(key, wire.PurposeOffer, o)
	if err != nil {
		w.t.Fatal(err)
	}
	m := w.ticket(o.Session)
	m.T, m.Signed = wire.ControlOffer, signed
	if err := l.WriteControl(m); err != nil {
		w.t.Fatal(err)
	}
}

// ticket makes a ticket for the agent's side.
func (w *world) ticket(id sess.SessionID) wire.Control {
	secret := rand.Text()
	w.mu.Lock()
	w.tickets[secret] = id
	w.mu.Unlock()
	return wire.Control{T: wire.ControlTicket, Session: id, Ticket: secret, URL: "wss://" + w.server.URL.Host + api.PathStream}
}

// order sends a signed order.
func (w *world) order(l *control, o wire.Order) {
	w.t.Helper()
	o.Nonce = l.nonce
	signed, err := wire.Sign(w.broker, wire.PurposeOrder, o)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := l.WriteControl(wire.Control{T: wire.ControlOrder, Signed: signed}); err != nil {
		w.t.Fatal(err)
	}
}

// tickets answers the wants of a link until it is closed.
func (w *world) serve(l *control) {
	go func() {
		for m := range l.in {
			if m.T == wire.ControlWant {
				_ = l.WriteControl(w.ticket(m.Session))
			}
		}
	}()
}

// live is a session with a client.
type live struct {
	*link.Endpoint
	w      *world
	id     sess.SessionID
	cancel context.CancelFunc
	done   chan struct{}
}

// run starts a session and drives its client's end over any number of connections.
func (w *world) run(l *control, kind sess.Kind, p sess.Params) *live {
	w.t.Helper()
	params, err := sess.EncodeParams(p)
	if err != nil {
		w.t.Fatal(err)
	}
	id := sess.NewSessionID()
	w.send(l, w.offerOf(l, id, kind, params), w.broker)
	l.next(w.t, wire.ControlAccept)
	return w.client(id, p, params)
}

func (w *world) client(id sess.SessionID, p sess.Params, params []byte) *live {
	w.t.Helper()
	window, recv := uint64(sess.WindowBulk), []uint32{wire.ChannelMain, wire.ChannelStderr}
	if p.TTY {
		window, recv = sess.WindowTerminal, recv[:1]
	}
	e := link.NewEndpoint(link.EndpointConfig{
		Side: sess.SideClient, Session: id, Window: window, Send: []uint32{wire.ChannelMain, wire.ChannelParams}, Recv: recv,
	})
	ctx, cancel := context.WithCancel(w.t.Context())
	s := &live{Endpoint: e, w: w, id: id, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		d := &link.Dialer{Server: w.server}
		defer d.CloseIdle()
		for ctx.Err() == nil {
			c, err := d.Dial(ctx, "wss://"+w.server.URL.Host+api.PathStream, wire.Subprotocol, http.Header{"Test-Client": {string(id)}})
			if err == nil {
				err = e.Run(ctx, c)
			}
			if err == nil {
				return
			}
			pauseFor(ctx, 10*time.Millisecond)
		}
	}()
	go func() {
		_, _ = e.Out(wire.ChannelParams).Write(params)
		e.Out(wire.ChannelParams).CloseWrite()
	}()
	w.t.Cleanup(func() {
		s.takeRest()
		cancel()
		e.Close(nil)
		<-s.done
	})
	return s
}

// takeRest lets a session whose status is known come to its end, so that the agent need not wait for it.
func (s *live) takeRest() {
	x, ok := s.Result()
	if !ok {
		return
	}
	for _, f := range x.Finals {
		s.In(f.Channel).Stop()
	}
	for range 200 {
		if !s.w.relay(s.id).here(sess.SideAgent) {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}

// exit waits for the end of the session at the client.
func (s *live) exit() wire.Exit {
	s.w.t.Helper()
	deadline := time.After(patience)
	for {
		if x, ok := s.Result(); ok {
			return x
		}
		select {
		case <-s.Finished():
			x, _ := s.Result()
			return x
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			s.w.t.Fatal("the session does not end")
		}
	}
}

// read reads all of a channel.
func (s *live) read(ch uint32) string {
	s.w.t.Helper()
	out := make(chan string, 1)
	go func() {
		var b bytes.Buffer
		_, _ = s.In(ch).WriteTo(&b)
		out <- b.String()
	}()
	return wait(s.w.t, out, "the end of the output")
}

// expect reads a channel until want comes.
func (s *live) expect(ch uint32, want string) string {
	s.w.t.Helper()
	out := make(chan string, 1)
	go func() {
		var b strings.Builder
		p := make([]byte, 4096)
		for !strings.Contains(b.String(), want) {
			n, err := s.In(ch).Read(p)
			b.Write(p[:n])
			if err != nil {
				b.WriteString("<" + err.Error() + ">")
				break
			}
		}
		out <- b.String()
	}()
	got := wait(s.w.t, out, want)
	if !strings.Contains(got, want) {
		s.w.t.Fatalf("output = %q, want %q in it", got, want)
	}
	return got
}

func (s *live) write(text string) {
	s.w.t.Helper()
	if _, err := s.Out(wire.ChannelMain).Write([]byte(text)); err != nil {
		s.w.t.Fatal(err)
	}
}

// eventually polls until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("it never came about that %s", what)
		}
		pauseFor(t.Context(), 5*time.Millisecond)
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func myName(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// lines logs to a test while it runs.
type lines struct{ t *testing.T }

func (l *lines) Write(p []byte) (int, error) { return l.t.Output().Write(p) }
