package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// A flow is one login in a browser, for a client elsewhere: sessctl, which gets a code at a port of its own (RFC 8252, PKCE)
// or asks again and again with a device code (RFC 8628). It lives in a row, so that any server may serve any step; it is
// bound to one browser by that browser's cookie, of which the row has the hash; each step that must happen once is a
// conditional UPDATE.
const (
	flowLife    = 10 * time.Minute
	codeLife    = time.Minute // from the end in the browser until the client has fetched its login
	purgeFlows  = time.Minute
	flowCode    = "code"
	flowDevice  = "device"
	flowClient  = "sessctl" // the only client there is
	maxState    = 200
	challengeSz = 43 // characters of a SHA-256 in base64url
	maxVerifier = 128
)

// Browser is who holds a step of a flow: the secret in its cookie, and where it is.
type Browser struct {
	Cookie string // as NewBrowserCookie made it; empty: none
	Addr   netip.Addr
}

// NewBrowserCookie makes the secret by which a browser is known for a while.
func NewBrowserCookie() string { return randomText() }

func randomText() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: it crashes the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// hash is what rows have of the browser.
func (b Browser) hash() string {
	if b.Cookie == "" {
		return ""
	}
	return sess.HashToken(b.Cookie)
}

// derive gives a secret for one step of this browser that nobody else can work out and that no row has to hold: the
// cookie is in none.
func (b Browser) derive(what, step string) string {
	m := hmac.New(sha256.New, []byte(b.Cookie))
	_, _ = m.Write([]byte(what + " " + step)) // never fails
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// AuthorizeIn is what a client asks for at /authorize, by the names of OAuth.
type AuthorizeIn struct {
	ResponseType, ClientID, RedirectURI, State, Challenge, ChallengeMethod string
	Org, IDP                                                               string // names; may be empty
	Client                                                                 string // what asks, in its own words
}

// Authorize begins a flow for a client that listens on a port of its own machine, and gives the flow's id.
func (s *Service) Authorize(ctx context.Context, b Browser, in AuthorizeIn) (string, error) {
	const hint = "begin again: sessctl login"
	challenge, err := base64.RawURLEncoding.DecodeString(in.Challenge)
	switch {
	case in.ResponseType != "code" || in.ClientID != flowClient:
		return "", sess.New(sess.CodeInvalid, "this address is for sessctl", hint)
	case !loopback(in.RedirectURI):
		return "", sess.New(sess.CodeInvalid, "the login would not go back to this machine", "the redirect URI is http://127.0.0.1:PORT/ or http://[::1]:PORT/")
	case in.ChallengeMethod != "S256" || err != nil || len(challenge) != sha256.Size || len(in.Challenge) != challengeSz:
		return "", sess.New(sess.CodeInvalid, "the login is not protected by PKCE with S256", hint)
	case in.State == "" || len(in.State) > maxState || !printable(in.State):
		return "", sess.New(sess.CodeInvalid, "the login has no state to be known by", hint)
	}
	return s.newFlow(ctx, store.CreateLoginFlowParams{
		Kind: flowCode, Client: clip(in.Client, maxClient), Address: b.Addr.String(), Browser: b.hash(), IDPName: clip(in.IDP, maxName),
		RedirectURI: in.RedirectURI, Challenge: in.Challenge, ClientState: in.State,
	}, in.Org)
}

// loopback reports whether a redirect URI is exactly one of this machine: an address and not a name, which may lead
// elsewhere; no path and no query.
func loopback(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	host, port, err := net.SplitHostPort(u.Host)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || n == 0 || host != "127.0.0.1" && host != "::1" {
		return false
	}
	return raw == "http://"+net.JoinHostPort(host, strconv.FormatUint(n, 10))+"/"
}

// newFlow begins a flow. An organisation that is named and has no provider, or does not exist, is not told apart.
func (s *Service) newFlow(ctx context.Context, p store.CreateLoginFlowParams, org string) (string, error) {
	now := s.now()
	p.ID, p.Client = flowID(), plainText(p.Client)
	p.CreatedAt, p.ExpiresAt = store.Micros(now), store.Micros(now.Add(flowLife))
	last := s.flowsPurged.Load()
	purge := store.Micros(now)-last > purgeFlows.Microseconds() && s.flowsPurged.CompareAndSwap(last, store.Micros(now))
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		if p.Org, err = flowOrg(ctx, tx, org); err != nil {
			return err
		}
		if purge {
			if err := tx.PurgeLoginFlows(ctx, store.Micros(now)); err != nil {
				return fmt.Errorf("forget old logins: %w", err)
			}
		}
		return tx.CreateLoginFlow(ctx, p)
	})
	if err != nil {
		return "", fmt.Errorf("begin login: %w", err)
	}
	return p.ID, nil
}

// plainText leaves out what is not seen, or shows other text elsewhere: a stranger wrote it, and people decide by it.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

func flowID() string {
	var b [15]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// flowOrg finds the organisation whose providers are offered: the one named, if it has any, or the server's only one. None: "".
func flowOrg(ctx context.Context, tx *store.Tx, name string) (sess.OrgID, error) {
	if name != "" {
		o, err := tx.GetOrgByName(ctx, name)
		if err != nil && !isNotFound(err) {
			return "", fmt.Errorf("look for organisation: %w", err)
		}
		idps, err := tx.ListIDPs(ctx, o.ID, 1)
		if err != nil {
			return "", fmt.Errorf("look for identity providers: %w", err)
		}
		if len(idps) == 0 { // as if it were not there: strangers are not told
			return "", nil
		}
		return o.ID, nil
	}
	ids, err := tx.FirstOrgs(ctx)
	if err != nil {
		return "", fmt.Errorf("count organisations: %w", err)
	}
	if len(ids) == 1 {
		return ids[0], nil
	}
	return "", nil
}

// FlowView is what a page shows of a flow.
type FlowView struct {
	ID        string
	Device    bool
	Client    string // what asks, in its own words
	Address   string // and from where
	CreatedAt time.Time
	Confirmed bool // by the person, that the device is theirs
	OrgKnown  bool
	// Code is set when somebody, Name, showed a first factor, and is to show a code of their second one.
	Code      bool
	Name      string
	Providers []FlowProvider
	// Straight is the provider that the client asked for by name.
	Straight string
}

// FlowProvider is a provider to choose.
type FlowProvider struct{ Name, Kind string }

// ViewFlow shows a flow to the browser that has it.
func (s *Service) ViewFlow(ctx context.Context, b Browser, id string) (FlowView, error) {
	var f store.LoginFlow
	var idps []store.ListIDPsRow
	name := ""
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		if f, err = s.loadFlow(ctx, tx, b, id); err != nil || f.Org == "" {
			return err
		}
		if f.UserID != "" {
			name, err = heldName(ctx, tx, f)
			return err
		}
		idps, err = tx.ListIDPs(ctx, f.Org, maxIDPs)
		return err
	})
	if err != nil {
		return FlowView{}, err
	}
	v := FlowView{
		Code: f.UserID != "", Name: name,
		ID: f.ID, Device: f.Kind == flowDevice, Client: f.Client, Address: f.Address, CreatedAt: store.Time(f.CreatedAt),
		Confirmed: f.Kind != flowDevice || f.ConfirmedAt != nil, OrgKnown: f.Org != "",
	}
	for _, p := range idps {
		v.Providers = append(v.Providers, FlowProvider{Name: p.Name, Kind: p.Kind})
		if p.Name == f.IDPName {
			v.Straight = p.Name
		}
	}
	return v, nil
}

// loadFlow finds a flow that this browser has and that goes on.
func (s *Service) loadFlow(ctx context.Context, tx *store.Tx, b Browser, id string) (store.LoginFlow, error) {
	f, err := tx.GetLoginFlow(ctx, id)
	switch {
	case err != nil && !isNotFound(err):
		return f, fmt.Errorf("load login: %w", err)
	case err != nil, b.Cookie == "", !sameHash(f.Browser, b.hash()):
		return f, sess.New(sess.CodeNotFound, "this login was begun in another browser, or is over", "begin again: sessctl login")
	case f.ExpiresAt <= store.Micros(s.now()), f.DoneAt != nil, f.DeniedAt != nil:
		return f, errFlowOver()
	}
	return f, nil
}

func errFlowOver() *sess.Error {
	return sess.New(sess.CodeExpired, "this login is over", "begin again: sessctl login")
}

// step changes a flow of this browser by a conditional UPDATE.
func (s *Service) step(ctx context.Context, b Browser, id string, confirmed bool, update func(*store.Tx, store.LoginFlow) (int64, error)) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		f, err := s.loadFlow(ctx, tx, b, id)
		if err != nil {
			return err
		}
		if confirmed && f.Kind == flowDevice && f.ConfirmedAt == nil {
			return sess.New(sess.CodeInvalid, "it is not confirmed yet that this login is yours", "go back, and read what asks for it")
		}
		n, err := update(tx, f)
		if err != nil {
			return fmt.Errorf("go on with login: %w", err)
		}
		if n == 0 {
			return errFlowOver()
		}
		return nil
	})
}

// ConfirmFlow notes that the person said the device is theirs.
func (s *Service) ConfirmFlow(ctx context.Context, b Browser, id string) error {
	now := store.Micros(s.now())
	return s.step(ctx, b, id, false, func(tx *store.Tx, _ store.LoginFlow) (int64, error) {
		return tx.ConfirmLoginFlow(ctx, id, b.hash(), &now)
	})
}

// DenyFlow ends a flow without a login, and gives where the browser goes; empty: nowhere.
func (s *Service) DenyFlow(ctx context.Context, b Browser, id string) (string, error) {
	now := store.Micros(s.now())
	var f store.LoginFlow
	err := s.step(ctx, b, id, false, func(tx *store.Tx, row store.LoginFlow) (int64, error) {
		f = row
		return tx.DenyLoginFlow(ctx, id, b.hash(), &now)
	})
	if err != nil {
		return "", err
	}
	_ = s.refuse(ctx, f.Org, b.Addr, policy.Login, "", sess.New(sess.CodeDenied, "refused in the browser", "")) // it is what was asked for
	if f.Kind == flowDevice {
		return "", nil
	}
	return backTo(f, url.Values{"error": {"access_denied"}}), nil
}

// ChooseFlowOrg names the organisation to log in to; one that has no provider is as good as none.
func (s *Service) ChooseFlowOrg(ctx context.Context, b Browser, id, name string) error {
	name = strings.TrimSpace(name)
	if len(name) > maxName || name == "" {
		return errNoIDP()
	}
	return s.step(ctx, b, id, true, func(tx *store.Tx, _ store.LoginFlow) (int64, error) {
		org, err := flowOrg(ctx, tx, name)
		if err != nil {
			return 0, err
		}
		if org == "" {
			return 0, errNoIDP()
		}
		return tx.ChooseLoginFlowOrg(ctx, id, b.hash(), org)
	})
}

func errNoIDP() *sess.Error {
	return sess.New(sess.CodeNotFound, "there is no identity provider for this organisation here",
		"look at the spelling, or log in with e-mail address and password")
}

// backTo gives the address of a client's port with an answer.
func backTo(f store.LoginFlow, answer url.Values) string {
	answer.Set("state", f.ClientState)
	return f.RedirectURI + "?" + answer.Encode()
}
