//go:build unix

package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/client"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/relay"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// world is a server of a few lines around the real relay, and an agent of a few lines around the real endpoint, that
// runs real processes. Tickets, join signatures and resume signatures are checked as the broker checks them.
type world struct {
	t     *testing.T
	srv   *httptest.Server
	relay *relay.Relay
	dir   *recording.Dir
	ctx   context.Context

	mu       sync.Mutex // protects the following
	sessions map[sess.SessionID]*session
	conns    map[*link.Conn]bool // the clients'
	down     bool                // answers nobody
	resumes  int
	far      string // the address that clients dial; empty: the server's own
}

// session is the broker's row.
type session struct {
	id      sess.SessionID
	kind    sess.Kind
	params  []byte
	key     *ecdsa.PublicKey
	grace   time.Duration
	epoch   uint64
	gens    [2]uint64
	first   [2]bool
	tickets map[string]ticket
	end     *wire.EndFrame
	kill    func(syscall.Signal)
	gone    context.CancelFunc // takes the agent away
	here    bool               // the agent runs
}

type ticket struct {
	side sess.Side
	gen  uint64
	key  *ecdsa.PublicKey // replaces the session's: a takeover
}

var org = sess.NewOrgID()

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel() // most of a test is waiting
	dir, err := recording.OpenDir(t.TempDir(), recording.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, ctx: t.Context(), sessions: map[sess.SessionID]*session{}, conns: map[*link.Conn]bool{}}
	w.relay = relay.New(t.Context(), w, dir, slog.New(slog.DiscardHandler))
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/sessions", w.start)
	mux.HandleFunc("POST /v1/sessions/{session}/resume", w.resume)
	mux.HandleFunc("POST /v1/sessions/{session}/attach", w.attach)
	mux.HandleFunc("POST /v1/sessions/{session}/end", w.endSession)
	mux.HandleFunc("GET /v1/sessions/{session}", w.show)
	mux.HandleFunc("GET /v1/stream", w.stream)
	w.srv = httptest.NewUnstartedServer(mux)
	w.srv.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	w.srv.StartTLS()
	t.Cleanup(func() {
		w.relay.Close()
		w.srv.Close()
		_ = dir.Close()
	})
	return w
}

func (w *world) server() link.Server {
	u, _ := url.Parse(w.srv.URL)
	return link.Server{URL: u, Pin: link.Pin(w.srv.Certificate())}
}

func (w *world) open() *client.Client {
	c := client.Open(client.Profile{Server: w.server(), Bearer: "sesl_test", Version: "test"})
	w.t.Cleanup(c.Close)
	return c
}

// setDown makes the server answer nobody, and cuts what is connected.
func (w *world) setDown(down bool) {
	w.mu.Lock()
	w.down = down
	w.mu.Unlock()
	if down {
		w.cut()
	}
}

// cut breaks the clients' connections.
func (w *world) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
}

func (w *world) only() *session {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sessions {
		return s
	}
	w.t.Fatal("no session")
	return nil
}

func fail(rw http.ResponseWriter, err error) {
	p := api.NewProblem(err, "req")
	rw.WriteHeader(p.Status)
	_ = json.NewEncoder(rw).Encode(p)
}

func (w *world) up(rw http.ResponseWriter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		fail(rw, sess.New(sess.CodeUnavailable, "down", ""))
	}
	return !w.down
}

func parseKey(b []byte) *ecdsa.PublicKey {
	k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b)
	if err != nil {
		panic(err)
	}
	return k
}

func verify(k *ecdsa.PublicKey, msg, sig []byte) bool {
	if len(sig) != 64 {
		return false
	}
	h := sha256.Sum256(msg)
	return ecdsa.Verify(k, h[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
}

// mint makes a ticket; the caller holds mu.
func (w *world) mint(s *session, side sess.Side, key *ecdsa.PublicKey) api.Ticket {
	i := 0
	if side == sess.SideAgent {
		i = 1
	}
	s.gens[i]++
	var b [16]byte
	_, _ = rand.Read(b[:])
	token := hex.EncodeToString(b[:])
	s.tickets[token] = ticket{side: side, gen: s.gens[i], key: key}
	base := w.srv.URL
	if w.far != "" && side == sess.SideClient {
		base = "https://" + w.far
	}
	return api.Ticket{
		Session: s.id, StreamURL: "wss" + strings.TrimPrefix(base, "https") + api.PathStream, Token: token,
		ExpiresAt: time.Now().Add(time.Minute), Server: "127.0.0.1", Kind: s.kind, Instance: "web-1", GraceMS: s.grace.Milliseconds(),
	}
}

func (w *world) start(rw http.ResponseWriter, r *http.Request) {
	if !w.up(rw) {
		return
	}
	var in api.StartIn
	if err := json.NewDecoder(r.Body).Decode(&in.Body); err != nil {
		panic(err)
	}
	if in.Body.Instance != "web-1" {
		fail(rw, sess.New(sess.CodeNotFound, "no instance "+in.Body.Instance, "sessctl instance list"))
		return
	}
	s := &session{
		id: sess.NewSessionID(), kind: in.Body.Kind, params: in.Body.Params, key: parseKey(in.Body.PublicKey), grace: time.Minute,
		tickets: map[string]ticket{}, first: [2]bool{true, true}, here: true,
	}
	if g := r.Header.Get("Grace"); g != "" {
		s.grace, _ = time.ParseDuration(g)
	}
	w.mu.Lock()
	w.sessions[s.id] = s
	t := w.mint(s, sess.SideClient, nil)
	w.mu.Unlock()
	go w.agent(s)
	_ = json.NewEncoder(rw).Encode(t)
}

func (w *world) find(rw http.ResponseWriter, r *http.Request) *session {
	if !w.up(rw) {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.sessions[sess.SessionID(r.PathValue("session"))]
	switch {
	case s == nil:
		fail(rw, sess.New(sess.CodeNotFound, "no such session", ""))
	case s.end != nil:
		fail(rw, sess.New(sess.CodeEnded, "the session is over", ""))
		s = nil
	}
	return s
}

func (w *world) resume(rw http.ResponseWriter, r *http.Request) {
	s := w.find(rw, r)
	if s == nil {
		return
	}
	var in api.ResumeIn
	_ = json.NewDecoder(r.Body).Decode(&in.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resumes++
	if !verify(s.key, wire.SignedMessage(wire.PurposeResume, []byte(s.id), in.Body.Nonce, []byte("127.0.0.1")), in.Body.Signature) {
		fail(rw, sess.New(sess.CodeSuperseded, "another client has it", ""))
		return
	}
	_ = json.NewEncoder(rw).Encode(w.mint(s, sess.SideClient, nil))
}

func (w *world) attach(rw http.ResponseWriter, r *http.Request) {
	s := w.find(rw, r)
	if s == nil {
		return
	}
	var in api.AttachIn
	_ = json.NewDecoder(r.Body).Decode(&in.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.mint(s, sess.SideClient, parseKey(in.Body.PublicKey))
	t.Params = s.params
	_ = json.NewEncoder(rw).Encode(t)
}

func (w *world) endSession(rw http.ResponseWriter, r *http.Request) {
	s := w.find(rw, r)
	if s == nil {
		return
	}
	var in api.EndIn
	_ = json.NewDecoder(r.Body).Decode(&in.Body)
	w.end(s, wire.EndFrame{Reason: sess.EndEnded, By: "ann@example.com", Message: in.Body.Reason})
	_ = json.NewEncoder(rw).Encode(api.Session{ID: s.id})
}

// end ends a session as the broker does.
func (w *world) end(s *session, f wire.EndFrame) {
	w.mu.Lock()
	if s.end == nil {
		s.end = &f
	}
	kill := s.kill
	w.mu.Unlock()
	if kill != nil {
		kill(syscall.SIGKILL)
	}
	w.relay.Cut(org, s.id, f)
}

func (w *world) show(rw http.ResponseWriter, r *http.Request) {
	if !w.up(rw) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.sessions[sess.SessionID(r.PathValue("session"))]
	out := api.Session{ID: s.id}
	if s.end != nil {
		out.EndReason, out.EndedBy, out.EndMessage, out.Exit = s.end.Reason, s.end.By, s.end.Message, s.end.Exit
	}
	_ = json.NewEncoder(rw).Encode(out)
}

// stream redeems a ticket and joins the relay.
func (w *world) stream(rw http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	w.mu.Lock()
	var s *session
	var t ticket
	for _, x := range w.sessions {
		if got, ok := x.tickets[token]; ok {
			s, t = x, got
			delete(x.tickets, token)
		}
	}
	if s == nil || w.down && t.side == sess.SideClient {
		w.mu.Unlock()
		fail(rw, sess.New(sess.CodeUnavailable, "down, or no such ticket", ""))
		return
	}
	i := 0
	if t.side == sess.SideAgent {
		i = 1
		s.epoch++
	} else {
		key := s.key
		if t.key != nil {
			key = t.key
		}
		hash := sha256.Sum256([]byte(token))
		sig, _ := base64.RawURLEncoding.DecodeString(r.Header.Get("Sess-Signature"))
		if !verify(key, wire.JoinMessage(hash[:], s.id, t.side, "127.0.0.1"), sig) {
			w.t.Error("bad join signature")
		}
		s.key = key
	}
	info := sess.Kinds[s.kind]
	p, _ := sess.DecodeParams(s.kind, s.params)
	j := relay.Join{
		Org: org, Session: s.id, Side: t.side, Gen: t.gen, OtherGen: s.gens[1-i], Epoch: s.epoch, Window: window(p),
		First: s.first[i], Takeover: t.key != nil, FreeRun: info.FreeRun, Terminal: p.TTY, Meta: recording.Meta{Kind: s.kind, TTY: p.TTY},
	}
	s.first[i] = false
	w.mu.Unlock()
	c, err := link.Accept(rw, r, wire.Subprotocol)
	if err != nil {
		return
	}
	if t.side == sess.SideClient {
		w.mu.Lock()
		w.conns[c] = true
		w.mu.Unlock()
	}
	w.relay.Join(j, c)
	w.mu.Lock()
	delete(w.conns, c)
	w.mu.Unlock()
}

func window(p sess.Params) uint64 {
	if p.TTY {
		return sess.WindowTerminal
	}
	return sess.WindowBulk
}

// Present implements relay.Broker.
func (w *world) Present(context.Context, sess.OrgID, sess.SessionID, uint64, sess.Side, bool) error {
	return nil
}

// Exited implements relay.Broker.
func (w *world) Exited(context.Context, sess.OrgID, sess.SessionID, uint64, wire.Exit) error {
	return nil
}

// Delivered implements relay.Broker.
func (w *world) Guest(context.Context, sess.OrgID, sess.SessionID, uint16, uint64, bool, bool) error {
	return nil
}

// Moderated implements relay.Broker.
func (w *world) Moderated(context.Context, sess.OrgID, sess.SessionID, int) error { return nil }

func (w *world) Delivered(context.Context, sess.OrgID, sess.SessionID, uint64) error { return nil }

// Failed implements relay.Broker.
func (w *world) Failed(_ context.Context, _ sess.OrgID, id sess.SessionID, _ uint64, r sess.EndReason, m string) error {
	w.mu.Lock()
	s := w.sessions[id]
	w.mu.Unlock()
	go w.end(s, wire.EndFrame{Reason: r, Message: m})
	return nil
}

// Recorded implements relay.Broker.
func (w *world) Recorded(context.Context, sess.OrgID, sess.SessionID, sess.Recorded) error {
	return nil
}
