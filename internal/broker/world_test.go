package broker_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("os/exec.(*Cmd).Start.func2")) // of storetest's PostgreSQL
}

const serverName = "box.example"

var addr = netip.MustParseAddr("192.0.2.7")

var engine = sync.OnceValues(policy.New) // immutable, and slow to make under the race detector

// world is a broker on a real database, with a clock that tests turn and a relay that only notes what is cut.
type world struct {
	*broker.Service

	t     testing.TB
	db    *store.DB
	gate  *gate.Gate
	node  sess.NodeID
	key   ed25519.PrivateKey
	relay *cuts

	agentGone func() // closes the agent's control link

	org      sess.OrgID
	project  sess.ProjectID
	instance sess.InstanceID
	agentKey ed25519.PrivateKey

	alice, bob, root, carol, eve sess.Principal // operators, org admin, read-only, no role

	real bool // the clock is that of the wall

	mu  sync.Mutex
	now time.Time
}

// Several may share a database: each has its own organisation and node.
func newWorld(t testing.TB, db *store.DB) *world {
	t.Helper()
	engine, err := engine()
	if err != nil {
		t.Fatal(err)
	}
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	w := &world{
		t: t, db: db, node: sess.NewNodeID(), key: key, relay: &cuts{by: make(chan cut, 100), notices: make(chan notice, 100), typed: map[sess.SessionID]uint64{}, peers: map[sess.SessionID]uint64{}, needs: map[sess.SessionID]int{}},
		now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
	}
	w.gate = gate.New(gate.Config{DB: db, Policy: engine, Now: w.clock})
	t.Cleanup(func() {
		if err := w.gate.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	w.org, w.project = w.newOrg("default " + string(w.node))
	w.alice = w.member(w.org, "alice@example.com", sess.RoleOperator)
	w.bob = w.member(w.org, "bob@example.com", sess.RoleOperator)
	w.root = w.member(w.org, "root@example.com", sess.RoleAdmin)
	w.carol = w.member(w.org, "carol@example.com", sess.RoleReadOnly)
	w.eve = w.member(w.org, "eve@example.com", "")
	w.instance, w.agentKey = w.newInstance(w.org, w.project, "web-1")
	w.boot()
	return w
}

// boot starts a server on the database, as after a crash of the one before if there was one.
func (w *world) boot() {
	w.t.Helper()
	public, _ := url.Parse("https://" + serverName + ":8443")
	s, err := broker.New(broker.Config{
		Gate: w.gate, DB: w.db, Node: w.node, PublicURL: public, Key: w.key, Now: w.clock, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	s.UseRelay(w.relay)
	if err := s.Recover(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.Close)
	w.Service = s
}

func (w *world) clock() time.Time {
	if w.real {
		return time.Now()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) tick() {
	w.t.Helper()
	if err := broker.Tick(w.t.Context(), w.Service); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) newOrg(name string) (sess.OrgID, sess.ProjectID) {
	w.t.Helper()
	org, project := sess.NewOrgID(), sess.NewProjectID()
	storetest.Write(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.CreateOrg(ctx, org, name, 1); err != nil {
			return err
		}
		return tx.CreateProject(ctx, org, project, "default", 1)
	})
	return org, project
}

// member makes a person with a login and, unless it is empty, a role on the whole organisation.
func (w *world) member(org sess.OrgID, name string, role sess.Role) sess.Principal {
	w.t.Helper()
	p := sess.Principal{
		Org: org, User: sess.NewUserID(), Name: name, UserKind: sess.UserLocal, Credential: sess.CredentialLogin,
		CredentialID: string(sess.NewLoginID()), Addr: addr,
	}
	storetest.Write(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.CreateMember(ctx, store.CreateMemberParams{Org: org, UserID: p.User, Kind: p.UserKind, Name: name, CreatedAt: 1}); err != nil {
			return err
		}
		if role != "" {
			if _, err := tx.CreateGrant(ctx, store.CreateGrantParams{Org: org, ID: sess.NewGrantID(), UserID: p.User, Role: role, CreatedAt: 1}); err != nil {
				return err
			}
		}
		return nil
	})
	w.login(p)
	return p
}

// login makes the row of a principal's login.
func (w *world) login(p sess.Principal) {
	w.t.Helper()
	storetest.Write(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		return tx.CreateLogin(ctx, store.CreateLoginParams{
			Org: p.Org, ID: sess.LoginID(p.CredentialID), Hash: p.CredentialID, UserID: p.User, CreatedAt: 1, ExpiresAt: 1 << 60,
		})
	})
}

func (w *world) newInstance(org sess.OrgID, project sess.ProjectID, name string) (sess.InstanceID, ed25519.PrivateKey) {
	w.t.Helper()
	pub, key, _ := ed25519.GenerateKey(rand.Reader)
	id := sess.NewInstanceID()
	storetest.Write(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		return tx.CreateInstance(ctx, store.CreateInstanceParams{
			Org: org, ID: id, Project: project, Name: name, PublicKey: base64.StdEncoding.EncodeToString(pub), CreatedAt: 1,
		})
	})
	return id, key
}

// row is a session's row as it is.
func (w *world) row(id sess.SessionID) store.Session {
	w.t.Helper()
	var r store.Session
	storetest.Read(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		var err error
		r, err = tx.GetSessionByID(ctx, id)
		return err
	})
	return r
}

// events counts the events of a session by action and outcome.
func (w *world) events(id sess.SessionID, act policy.Action, outcome string) int {
	w.t.Helper()
	n := 0
	storetest.Read(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		from := store.FirstPage()
		rows, err := tx.ListAuditEvents(ctx, store.ListAuditEventsParams{
			Log: string(w.org), BeforeAt: from.At, BeforeID: from.ID, Action: string(act), Session: string(id), Outcome: outcome, Page: 1000,
		})
		n = len(rows)
		return err
	})
	return n
}

func (w *world) wantState(id sess.SessionID, want sess.State) {
	w.t.Helper()
	if got := w.row(id).State; got != want {
		w.t.Fatalf("state = %s, want %s", got, want)
	}
}

// wantEnd checks that a session ended for a reason, once.
func (w *world) wantEnd(id sess.SessionID, want sess.EndReason) {
	w.t.Helper()
	r := w.row(id)
	if r.State != sess.StateEnded || r.EndReason != want {
		w.t.Fatalf("session is %s (%s), want ended (%s)", r.State, r.EndReason, want)
	}
	if n := w.events(id, policy.SessionEnded, ""); n != 1 {
		w.t.Fatalf("%d end events, want 1", n)
	}
}

func wantCode(t testing.TB, what string, err error, code sess.Code) *sess.Error {
	t.Helper()
	e, ok := errors.AsType[*sess.Error](err)
	if !ok || e.Code != code {
		t.Fatalf("%s: got %v, want code %s", what, err, code)
	}
	return e
}

// cuts is a relay that notes what it is told to cut.
type cuts struct {
	by      chan cut
	notices chan notice

	mu    sync.Mutex // protects the following
	typed map[sess.SessionID]uint64
	peers map[sess.SessionID]uint64 // of typed, not by the owner
	needs map[sess.SessionID]int    // moderators
	out   []string                  // participants who were put out: number and reason
}

type notice struct {
	id   sess.SessionID
	text string
}

func (c *cuts) Notice(id sess.SessionID, text string) { c.notices <- notice{id, text} }

func (c *cuts) Activity(id sess.SessionID) (own, typed, moved uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.typed[id] - c.peers[id], c.typed[id], c.typed[id]
}

// peerTyping has something typed in a session by somebody beside its owner.
func (c *cuts) peerTyping(id sess.SessionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.typed[id]++
	c.peers[id]++
}

// typing has something typed in a session.
func (c *cuts) typing(id sess.SessionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.typed[id]++
}

type cut struct {
	id    sess.SessionID
	frame wire.EndFrame
}

func (c *cuts) Cut(_ sess.OrgID, id sess.SessionID, f wire.EndFrame) { c.by <- cut{id, f} }

// Traffic implements broker.Relay: nothing is connected here.
func (c *cuts) Traffic(sess.SessionID) (sess.Traffic, bool) { return sess.Traffic{}, false }

// Dismiss implements broker.Relay.
func (c *cuts) Dismiss(_ sess.SessionID, num uint16, f wire.EndFrame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, fmt.Sprint(num, " ", f.Reason))
}

// Moderate implements broker.Relay.
func (c *cuts) Moderate(id sess.SessionID, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.needs[id] = n
}

// needed gives how many moderators the relay was told that a session needs.
func (c *cuts) needed(id sess.SessionID) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.needs[id]
}

// wantCut waits for a session to be cut.
func (w *world) wantCut(id sess.SessionID) wire.EndFrame {
	w.t.Helper()
	select {
	case c := <-w.relay.by:
		if c.id != id {
			w.t.Fatalf("cut %s, want %s", c.id, id)
		}
		return c.frame
	case <-time.After(5 * time.Second):
		w.t.Fatal("the session was not cut")
	}
	return wire.EndFrame{}
}

func (w *world) wantNoCut() {
	w.t.Helper()
	select {
	case c := <-w.relay.by:
		w.t.Fatalf("%s was cut: %+v", c.id, c.frame)
	default:
	}
}

// sessionKey is a client's key for one session.
type sessionKey struct{ *ecdsa.PrivateKey }

func newKey(t testing.TB) sessionKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return sessionKey{k}
}

func (k sessionKey) public(t testing.TB) []byte {
	t.Helper()
	b, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (k sessionKey) sign(t testing.TB, message []byte) []byte {
	t.Helper()
	digest := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, k.PrivateKey, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out
}

func startIn(t testing.TB, instance string, k sessionKey) api.StartIn {
	t.Helper()
	var in api.StartIn
	in.Body.Instance, in.Body.Kind, in.Body.PublicKey = instance, sess.KindExec, k.public(t)
	var err error
	if in.Body.Params, err = sess.EncodeParams(sess.Params{Argv: []string{"uptime", "-p"}}); err != nil {
		t.Fatal(err)
	}
	return in
}

// session is one that was started, with both tickets.
type session struct {
	id     sess.SessionID
	key    sessionKey
	client api.Ticket
	agent  string // its ticket
}

// start starts an exec on web-1 as alice.
func (w *world) start(a *agent) session {
	w.t.Helper()
	k := newKey(w.t)
	ticket, err := w.Start(w.t.Context(), w.alice, startIn(w.t, "web-1", k))
	if err != nil {
		w.t.Fatalf("start: %v", err)
	}
	offer := a.want(wire.ControlOffer)
	for offer.Session != ticket.Session { // of a session that was pending when the agent connected
		offer = a.want(wire.ControlOffer)
	}
	return session{id: ticket.Session, key: k, client: ticket, agent: offer.Ticket}
}

func (w *world) join(s session, token string, k sessionKey) (broker.Joined, error) {
	hash := sha256.Sum256([]byte(token))
	return w.Redeem(w.t.Context(), broker.Redeem{
		Ticket: token, Signature: k.sign(w.t, wire.JoinMessage(hash[:], s.id, sess.SideClient, serverName)), Addr: addr,
	})
}

func (w *world) joinAgent(s session, token string) (broker.Joined, error) {
	hash := sha256.Sum256([]byte(token))
	return w.Redeem(w.t.Context(), broker.Redeem{
		Ticket: token, Signature: ed25519.Sign(w.agentKey, wire.JoinMessage(hash[:], s.id, sess.SideAgent, serverName)), Addr: addr,
	})
}

// both starts a session and brings both sides in, as the relay would.
func (w *world) both(a *agent) session {
	w.t.Helper()
	s := w.start(a)
	if _, err := w.join(s, s.client.Token, s.key); err != nil {
		w.t.Fatalf("client: %v", err)
	}
	w.present(s, 0, sess.SideClient, true)
	if _, err := w.joinAgent(s, s.agent); err != nil {
		w.t.Fatalf("agent: %v", err)
	}
	w.present(s, 1, sess.SideAgent, true)
	w.wantState(s.id, sess.StateActive)
	return s
}

func (w *world) present(s session, epoch uint64, side sess.Side, here bool) {
	w.t.Helper()
	if err := w.Present(w.t.Context(), w.org, s.id, epoch, side, here); err != nil {
		w.t.Fatalf("present: %v", err)
	}
}

func (w *world) exited(s session, epoch uint64, status int) {
	w.t.Helper()
	exit := wire.Exit{Exit: sess.Exit{Status: status}, Finals: []wire.Final{{Channel: wire.ChannelMain, Offset: 7}}}
	if err := w.Exited(w.t.Context(), w.org, s.id, epoch, exit); err != nil {
		w.t.Fatalf("exited: %v", err)
	}
}

func (w *world) resume(s session, k sessionKey) (api.Ticket, error) {
	return w.Resume(w.t.Context(), sess.Principal{Addr: addr}, w.resumeIn(s, k))
}

func (w *world) resumeIn(s session, k sessionKey) api.ResumeIn {
	var in api.ResumeIn
	in.Session, in.Body.Nonce = string(s.id), make([]byte, 16)
	_, _ = rand.Read(in.Body.Nonce)
	in.Body.Signature = k.sign(w.t, wire.SignedMessage(wire.PurposeResume, []byte(s.id), in.Body.Nonce, []byte(serverName)))
	return in
}

func (w *world) attach(who sess.Principal, s session, k sessionKey) (api.Ticket, error) {
	var in api.AttachIn
	in.Session, in.Body.PublicKey = string(s.id), k.public(w.t)
	return w.Attach(w.t.Context(), who, in)
}

func (w *world) purge() error { return broker.Purge(w.t.Context(), w.Service) }

// drain takes notices, which nobody looks at, until ctx ends.
func (c *cuts) drain(ctx context.Context) {
	for {
		select {
		case <-c.notices:
		case <-ctx.Done():
			return
		}
	}
}

// quiet forgets what the relay was told so far.
func (w *world) quiet() {
	for {
		select {
		case <-w.relay.notices:
		case <-w.relay.by:
		default:
			return
		}
	}
}
