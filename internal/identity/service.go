package identity

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/identity/idp"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Config is what a Service is made of.
type Config struct {
	Gate *gate.Gate       // required
	DB   *store.DB        // required
	Now  func() time.Time // nil: time.Now
	Log  *slog.Logger     // nil: nothing is logged

	PublicURL *url.URL       // required: how people and agents reach this server; without a path
	Pin       []byte         // the pin of the server's own certificate (link.Pin); nil: the system's roots know it
	Server    api.ServerInfo // given to new instances

	// BrokerKeys gives the public keys that agents are to pin. Required.
	BrokerKeys func() []ed25519.PublicKey
	// HasAgents says whether this server has agent binaries to install. nil: it has none.
	HasAgents func() bool
	// OnCredentialRevoked is called after a login or an API key was revoked: the sessions started by it end. May be nil.
	OnCredentialRevoked func(ctx context.Context, org sess.OrgID, credentialID string)
	// OnUserDeactivated is called after a user was deactivated or deleted, OnUserRevoked after all their credentials were
	// revoked: what they have running ends. May be nil.
	OnUserDeactivated func(ctx context.Context, org sess.OrgID, user sess.UserID)
	OnUserRevoked     func(ctx context.Context, org sess.OrgID, user sess.UserID)
	// Mail sends mail. nil: links and temporary passwords are handed to the admin who made them.
	Mail Mailer
	// OnInstanceRemoved is called after an instance was removed: its sessions end and its control link is cut. May be nil.
	OnInstanceRemoved func(ctx context.Context, org sess.OrgID, id sess.InstanceID)

	// SealKey seals what has to be read again: secrets of second factors and of identity providers. It lies outside the
	// database. Required.
	SealKey [SealKeySize]byte

	// IDPAllowPrivate lets identity providers be on this machine and on private networks, and speak http.
	IDPAllowPrivate bool

	// Hash is the cost of password hashes; the zero value is right outside of tests.
	Hash HashParams
}

// Service is the room's one door. Its methods may be called from any goroutine.
type Service struct {
	gate      *gate.Gate
	db        *store.DB
	now       func() time.Time
	log       *slog.Logger
	publicURL *url.URL
	pin       []byte
	server    api.ServerInfo
	keys      func() []ed25519.PublicKey
	hasAgents func() bool
	revoked   func(context.Context, sess.OrgID, string)
	removed   func(context.Context, sess.OrgID, sess.InstanceID)
	mail      Mailer // nil: none
	forgotten chan forgot

	deactivated, userRevoked func(context.Context, sess.OrgID, sess.UserID)
	hasher                   *hasher

	idpClient    *http.Client // for identity providers
	idpAllowHTTP bool

	failures failures

	flowsPurged atomic.Int64 // when old flows were last deleted, microseconds
	sealer      sealer
}

// New makes a Service.
func New(c Config) *Service {
	s := &Service{
		gate: c.Gate, db: c.DB, now: c.Now, log: c.Log, publicURL: c.PublicURL, pin: c.Pin, server: c.Server, keys: c.BrokerKeys,
		hasAgents: c.HasAgents, revoked: c.OnCredentialRevoked, removed: c.OnInstanceRemoved, hasher: newHasher(c.Hash),
	}
	s.idpClient, s.idpAllowHTTP = idp.NewClient(c.IDPAllowPrivate), c.IDPAllowPrivate
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.hasAgents == nil {
		s.hasAgents = func() bool { return false }
	}
	if s.revoked == nil {
		s.revoked = func(context.Context, sess.OrgID, string) {}
	}
	if s.removed == nil {
		s.removed = func(context.Context, sess.OrgID, sess.InstanceID) {}
	}
	s.mail, s.forgotten = c.Mail, make(chan forgot, maxForgot)
	s.deactivated, s.userRevoked = c.OnUserDeactivated, c.OnUserRevoked
	for _, hook := range []*func(context.Context, sess.OrgID, sess.UserID){&s.deactivated, &s.userRevoked} {
		if *hook == nil {
			*hook = func(context.Context, sess.OrgID, sess.UserID) {}
		}
	}
	s.sealer, _ = newSealer(c.SealKey[:]) // it fails for a key of another size only
	s.failures = failures{db: s.db, now: s.now}
	return s
}

// serverName gives what people name this server by: its URL, with the pin of an own certificate.
func (s *Service) serverName() string {
	name := s.publicURL.String()
	if len(s.pin) > 0 {
		name += "#pin=sha256:" + hex.EncodeToString(s.pin)
	}
	return name
}

// InviteLink gives the link to hand out for the token of an invitation.
func (s *Service) InviteLink(token string) string { return sess.InviteLink(s.publicURL, token) }

// refuse has a refusal of somebody unknown recorded and returns err. name is of an account or a thing that exists, or
// empty: what strangers type may be a password in the wrong field.
func (s *Service) refuse(ctx context.Context, org sess.OrgID, addr netip.Addr, act policy.Action, name string, err *sess.Error) error {
	s.gate.RefusedAnonymous(ctx, gate.Refusal{Org: org, Addr: addr, Action: act, Code: err.Code, Name: name})
	return err
}

func isNotFound(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, sess.ErrNotFound)
}

// page gives the limit and the cursor of a page asked for.
func page(p api.Page) (int, store.Cursor, error) {
	limit := p.Limit
	if limit == 0 {
		limit = api.DefaultPage
	}
	if limit < 0 || limit > api.MaxPage {
		return 0, store.Cursor{}, sess.New(sess.CodeInvalid, "the limit of a page is 1 to 1000", "")
	}
	c, err := store.ParseCursor(p.After)
	return limit, c, err
}

// scope gives a policy's scope in the form queries take it: everything (1), or the projects between commas.
func scope(sc policy.Scope) (every int64, projects string) {
	if sc.Org {
		return 1, ""
	}
	var b strings.Builder
	b.WriteByte(',')
	for _, p := range sc.Projects {
		b.WriteString(string(p))
		b.WriteByte(',')
	}
	return 0, b.String()
}

func optionalTime(us *int64) *time.Time {
	if us == nil {
		return nil
	}
	t := store.Time(*us)
	return &t
}
