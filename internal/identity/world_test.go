package identity_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

var (
	home  = netip.MustParseAddr("192.0.2.10")
	else1 = netip.MustParseAddr("198.51.100.66")
	pin   = bytes.Repeat([]byte{0x5A}, sess.PinSize)
)

const (
	adminEmail    = "ada@example.com"
	adminPassword = "seven wild geese"
)

// world is a server's identity room on a real database, with a clock that tests turn.
type world struct {
	*identity.Service

	t    testing.TB
	db   *store.DB
	gate *gate.Gate
	log  bytes.Buffer

	mu      sync.Mutex
	now     time.Time
	secrets []string // all that were handed out
	errors  []string // all that were answered, both faces
	revoked []string
	removed []sess.InstanceID
	agents  bool
	asked   int           // from how many addresses
	gone    []sess.UserID // deactivated, deleted or revoked
	mails   chan identity.Mail
	mailed  identity.Mailed // what becomes of mails
}

// Queue implements identity.Mailer: mail arrives at once.
func (w *world) Queue(ctx context.Context, m identity.Mail, note func(context.Context, identity.Mailed)) {
	w.mails <- m
	w.mu.Lock()
	done := w.mailed
	w.mu.Unlock()
	note(ctx, done)
}

// cheap hashes keep tests fast; their cost is what the benchmark of the real parameters is for.
var cheap = identity.HashParams{MemoryKiB: 64, Passes: 1}

func newWorld(t testing.TB, db *store.DB) *world { return worldWith(t, db, false) }

// worldWith is a world whose server may send mail.
func worldWith(t testing.TB, db *store.DB, mail bool) *world {
	t.Helper()
	engine, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, db: db, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), agents: true,
		mails: make(chan identity.Mail, 100), mailed: identity.Mailed{Sent: true, Final: true},
	}
	log := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.gate = gate.New(gate.Config{DB: db, Policy: engine, Now: w.clock, Log: log})
	base, _ := url.Parse("https://box.example:8443")
	broker, _, _ := ed25519.GenerateKey(rand.Reader)
	var mailer identity.Mailer
	if mail {
		mailer = w
	}
	away := func(_ context.Context, _ sess.OrgID, id sess.UserID) { w.gone = append(w.gone, id) }
	w.Service = identity.New(identity.Config{
		Mail: mailer, OnUserDeactivated: away, OnUserRevoked: away,
		Gate: w.gate, DB: db, Now: w.clock, Log: log, PublicURL: base, Pin: pin,
		Server:              api.ServerInfo{Name: "box.example", Version: "test", Protocol: 1},
		BrokerKeys:          func() []ed25519.PublicKey { return []ed25519.PublicKey{broker} },
		HasAgents:           func() bool { return w.agents },
		OnCredentialRevoked: func(_ context.Context, _ sess.OrgID, id string) { w.revoked = append(w.revoked, id) },
		OnInstanceRemoved:   func(_ context.Context, _ sess.OrgID, id sess.InstanceID) { w.removed = append(w.removed, id) },
		SealKey:             [identity.SealKeySize]byte{1, 2, 3},
		IDPAllowPrivate:     true,
		Hash:                cheap,
	})
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) secret(s string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets = append(w.secrets, s)
	return s
}

// saw keeps an error's faces, to look for secrets in them later, and returns it.
func (w *world) saw(err error) error {
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.errors = append(w.errors, err.Error(), sess.Public(err).Hint)
	}
	return err
}

// wantCode fails unless err has the code, and something to say where people are to do something about it.
func (w *world) wantCode(what string, err error, code sess.Code) *sess.Error {
	w.t.Helper()
	w.saw(err)
	e, ok := errors.AsType[*sess.Error](err)
	if !ok || e.Code != code {
		w.t.Fatalf("%s = %v, want code %s", what, err, code)
	}
	return e
}

func must[T any](w *world, what string) func(T, error) T {
	return func(v T, err error) T {
		w.t.Helper()
		if w.saw(err) != nil {
			w.t.Fatalf("%s: %v (hint: %s)", what, err, sess.Public(err).Hint)
		}
		return v
	}
}

func (w *world) accept(token, email, password string, addr netip.Addr) (api.LoginOut, error) {
	var in api.AcceptIn
	in.Body.Token, in.Body.Email, in.Body.Password, in.Body.Client = token, email, password, "test"
	out, err := w.Accept(w.t.Context(), addr, in)
	if err == nil {
		w.secret(out.Token)
	}
	return out, w.saw(err)
}

func (w *world) login(email, password string, addr netip.Addr) (api.LoginOut, error) {
	var in api.LoginIn
	in.Body.Email, in.Body.Password = email, password
	out, err := w.Login(w.t.Context(), addr, in)
	if err == nil {
		w.secret(out.Token)
	}
	return out, w.saw(err)
}

// admin starts the server for the first time and has the first admin accept.
func (w *world) admin() sess.Principal {
	w.t.Helper()
	token, ok, err := w.FirstStart(w.t.Context())
	if err != nil || !ok {
		w.t.Fatalf("FirstStart = %v, %v", ok, err)
	}
	out := must[api.LoginOut](w, "accept")(w.accept(w.secret(token), adminEmail, w.secret(adminPassword), home))
	return w.who(out.Token)
}

func (w *world) who(bearer string) sess.Principal {
	w.t.Helper()
	return must[sess.Principal](w, "authenticate")(w.Authenticate(w.t.Context(), bearer, home))
}

// machine makes a machine user with a role and gives its principal.
func (w *world) machine(admin sess.Principal, name string, role sess.Role) sess.Principal {
	w.t.Helper()
	var in api.KeyIn
	in.Body.Machine, in.Body.Role = name, role
	k := must[api.Key](w, "create key")(w.CreateKey(w.t.Context(), admin, in))
	return w.who(w.secret(k.Secret))
}

func (w *world) token(who sess.Principal, uses int, labels map[string]string) api.Token {
	w.t.Helper()
	var in api.TokenIn
	in.Body.Uses, in.Body.Labels = uses, labels
	t := must[api.Token](w, "create token")(w.CreateToken(w.t.Context(), who, in))
	w.secret(t.Secret)
	return t
}

// enrolIn is what an agent with a new key sends.
func enrolIn(t testing.TB, token, host string) api.EnrolIn {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var in api.EnrolIn
	h := sha256.Sum256([]byte(token))
	in.Body.Token, in.Body.PublicKey, in.Body.Signature = token, pub, ed25519.Sign(key, wire.SignedMessage(wire.PurposeEnrol, h[:]))
	in.Body.Hostname, in.Body.OS, in.Body.Arch, in.Body.Version = host, "linux", "amd64", "test"
	return in
}

func (w *world) enrol(token, host string) api.EnrolOut {
	w.t.Helper()
	return must[api.EnrolOut](w, "enrol")(w.Enrol(w.t.Context(), home, enrolIn(w.t, token, host)))
}

// events gives the audit events' bodies, oldest first, refusals that are held back included.
func (w *world) events(log string) []string {
	w.t.Helper()
	if err := w.gate.Close(context.WithoutCancel(w.t.Context())); err != nil {
		w.t.Fatal(err)
	}
	var bodies []string
	storetest.Read(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		rows, err := tx.ListUnplacedAuditEvents(ctx, log, 1000)
		for _, r := range rows {
			bodies = append(bodies, r.Body)
		}
		return err
	})
	return bodies
}

// wantEvent fails unless one event of the log holds all the parts.
func (w *world) wantEvent(log sess.OrgID, parts ...string) {
	w.t.Helper()
	events := w.events(string(log))
	if !slices.ContainsFunc(events, func(e string) bool {
		return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(e, p) })
	}) {
		w.t.Errorf("no event of %s has %q:\n%s", log, parts, strings.Join(events, "\n"))
	}
}
