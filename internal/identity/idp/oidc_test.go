package idp_test

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/identity/idp"
	"github.com/sessctl/sess/internal/sess"
)

func oidcProvider(t *testing.T, f *fake, change func(*idp.Settings)) idp.Provider {
	t.Helper()
	s := idp.Settings{Issuer: f.URL, ClientID: clientID}
	if change != nil {
		change(&s)
	}
	return provider(t, config(t, idp.OIDC, s))
}

func TestOIDC(t *testing.T) {
	f := newFake(t)
	f.claims = f.good()
	f.claims["amr"] = []string{"pwd", "mfa"}
	got, err := f.login(oidcProvider(t, f, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got.Issuer != f.URL || got.Subject != "248289761001" || got.Email != "ann@example.com" || !slices.Equal(got.Groups, []string{"dev", "ops"}) || !got.MFA {
		t.Errorf("%+v", got)
	}
}

// Tokens that must not be taken. Each differs from a good one in one thing.
func TestOIDCRefusesHostileTokens(t *testing.T) {
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	many := make([]string, idp.MaxGroups+1)
	for i := range many {
		many[i] = fmt.Sprint("group-", i)
	}
	for name, c := range map[string]struct {
		change func(c map[string]any)
		sign   func(f *fake) func(h, c map[string]any) string
		want   string // part of the reason
	}{
		"wrong issuer":        {change: func(c map[string]any) { c["iss"] = "https://evil.example" }, want: "different provider"},
		"no issuer":           {change: func(c map[string]any) { delete(c, "iss") }, want: "different provider"},
		"wrong audience":      {change: func(c map[string]any) { c["aud"] = "another-client" }, want: "audience"},
		"no audience":         {change: func(c map[string]any) { delete(c, "aud") }, want: "audience"},
		"wrong azp":           {change: func(c map[string]any) { c["azp"] = "another-client" }, want: "azp"},
		"two audiences":       {change: func(c map[string]any) { c["aud"] = []string{clientID, "another-client"} }, want: "azp"},
		"two audiences, azp":  {change: func(c map[string]any) { c["aud"], c["azp"] = []string{clientID, "other"}, "other" }, want: "azp"},
		"wrong nonce":         {change: func(c map[string]any) { c["nonce"] = "of another login" }, want: "nonce"},
		"no nonce":            {change: func(c map[string]any) { delete(c, "nonce") }, want: "nonce"},
		"expired":             {change: func(c map[string]any) { c["exp"] = now.Add(-2 * time.Minute).Unix() }, want: "expired"},
		"never expires":       {change: func(c map[string]any) { delete(c, "exp") }, want: "expired"},
		"not yet valid":       {change: func(c map[string]any) { c["nbf"] = now.Add(2 * time.Minute).Unix() }, want: "not valid yet"},
		"from the future":     {change: func(c map[string]any) { c["iat"] = now.Add(2 * time.Minute).Unix() }, want: "future"},
		"no time of issue":    {change: func(c map[string]any) { delete(c, "iat") }, want: "future"},
		"time is a text":      {change: func(c map[string]any) { c["exp"] = "tomorrow" }, want: ""},
		"no subject":          {change: func(c map[string]any) { delete(c, "sub") }, want: "who this is"},
		"long subject":        {change: func(c map[string]any) { c["sub"] = strings.Repeat("x", 256) }, want: "who this is"},
		"subject with a line": {change: func(c map[string]any) { c["sub"] = "a\nb" }, want: "who this is"},
		"too many groups":     {change: func(c map[string]any) { c["groups"] = many }, want: "groups"},
		"a huge group":        {change: func(c map[string]any) { c["groups"] = []string{strings.Repeat("g", 257)} }, want: "group"},
		"an empty group":      {change: func(c map[string]any) { c["groups"] = []string{""} }, want: "group"},
		"groups of objects":   {change: func(c map[string]any) { c["groups"] = map[string]any{"a": 1} }, want: "groups"},
		"wrong access token":  {change: func(c map[string]any) { c["at_hash"] = b64([]byte("0123456789abcdef")) }, want: "access token"},
		"alg none": {sign: func(f *fake) func(h, c map[string]any) string {
			return func(h, c map[string]any) string { h["alg"] = "none"; return encode(f.t, h, c) + "." }
		}, want: ""},
		"no signature": {sign: func(f *fake) func(h, c map[string]any) string {
			return func(h, c map[string]any) string { return encode(f.t, h, c) + "." }
		}, want: "signature"},
		"HS256 with the public key": {sign: func(f *fake) func(h, c map[string]any) string { return f.hmacSigned }, want: ""},
		"a stranger's key": {sign: func(f *fake) func(h, c map[string]any) string {
			return func(h, c map[string]any) string { return f.signedBy(stranger, h, c) }
		}, want: "signature"},
		"a stranger's key, named": {sign: func(f *fake) func(h, c map[string]any) string {
			return func(h, c map[string]any) string {
				h["jwk"] = map[string]any{"kty": "RSA", "n": b64(stranger.N.Bytes()), "e": "AQAB"}
				return f.signedBy(stranger, h, c)
			}
		}, want: "signature"},
		"no token": {sign: func(*fake) func(h, c map[string]any) string { return func(_, _ map[string]any) string { return "" } }, want: "no ID token"},
		"no JWT":   {sign: func(*fake) func(h, c map[string]any) string { return func(_, _ map[string]any) string { return "a.b" } }, want: ""},
		"not JSON": {sign: func(*fake) func(h, c map[string]any) string {
			return func(_, _ map[string]any) string { return "e30.e30x.e30" }
		}, want: ""},
		"two parts": {sign: func(f *fake) func(h, c map[string]any) string {
			return func(h, c map[string]any) string { return encode(f.t, h, c) }
		}, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.claims = f.good()
			if c.change != nil {
				c.change(f.claims)
			}
			if c.sign != nil {
				f.sign = c.sign(f)
			}
			got, err := f.login(oidcProvider(t, f, nil))
			wantRefused(t, got, err, c.want)
		})
	}
}

func wantRefused(t *testing.T, got idp.Person, err error, want string) {
	t.Helper()
	e, ok := errors.AsType[*sess.Error](err)
	if !ok || e.Code != sess.CodeUnauthenticated || e.Hint == "" || !strings.Contains(e.Message, want) {
		t.Fatalf("%+v, %v; want a refusal with %q", got, err, want)
	}
	if strings.Contains(e.Message+e.Hint, secret) {
		t.Error("the refusal shows the client secret")
	}
}

// A little skew between two clocks is no reason to turn somebody away.
func TestOIDCBearsSmallSkew(t *testing.T) {
	f := newFake(t)
	p := oidcProvider(t, f, nil)
	for _, skew := range []time.Duration{-50 * time.Second, 50 * time.Second} {
		f.claims = f.good()
		f.claims["iat"], f.claims["nbf"], f.claims["exp"] = now.Add(skew).Unix(), now.Add(skew).Unix(), now.Add(skew+time.Second).Unix()
		if _, err := f.login(p); err != nil {
			t.Errorf("skew %s: %v", skew, err)
		}
	}
}

// New keys count at once, and old ones no more.
func TestOIDCKeysRotate(t *testing.T) {
	f := newFake(t)
	p := oidcProvider(t, f, nil)
	f.claims = f.good()
	if _, err := f.login(p); err != nil {
		t.Fatal(err)
	}
	old := f.key
	f.rotate("key-2")
	if _, err := f.login(p); err != nil {
		t.Errorf("with the new key: %v", err)
	}
	f.sign = func(h, c map[string]any) string { h["kid"] = "key-1"; return f.signedBy(old, h, c) }
	got, err := f.login(p)
	wantRefused(t, got, err, "signature")
}

// An address counts only where the provider says it checked it; it may say so in its user info.
func TestOIDCEmail(t *testing.T) {
	trust := func(s *idp.Settings) { s.TrustEmail = true }
	for name, c := range map[string]struct {
		verified any // nil: not said
		trust    func(*idp.Settings)
		info     map[string]any
		want     string
	}{
		"verified":                        {verified: true, want: "ann@example.com"},
		"verified, as a text":             {verified: "true", want: "ann@example.com"},
		"not verified":                    {verified: false},
		"not said":                        {},
		"not said, trusted":               {trust: trust, want: "ann@example.com"},
		"verified elsewhere":              {info: map[string]any{"sub": "248289761001", "email": "eve@example.com", "email_verified": true, "groups": []string{}}},
		"a number":                        {verified: 1},
		"verified is a list":              {verified: []bool{true}},
		"groups from elsewhere, verified": {verified: true, info: map[string]any{"sub": "248289761001", "groups": "one"}, want: "ann@example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.claims, f.userInfo = f.good(), c.info
			delete(f.claims, "email_verified")
			if c.verified != nil {
				f.claims["email_verified"] = c.verified
			}
			if c.info != nil {
				delete(f.claims, "groups")
			}
			got, err := f.login(oidcProvider(t, f, c.trust))
			if err != nil || got.Email != c.want {
				t.Errorf("address %q, %v, want %q", got.Email, err, c.want)
			}
		})
	}
}

func TestOIDCUserInfo(t *testing.T) {
	f := newFake(t)
	f.claims = f.good()
	for _, c := range []string{"email", "email_verified", "groups"} {
		delete(f.claims, c)
	}
	f.userInfo = map[string]any{"sub": "248289761001", "email": "ann@example.com", "email_verified": true, "groups": "ops"}
	got, err := f.login(oidcProvider(t, f, nil))
	if err != nil || got.Email != "ann@example.com" || !slices.Equal(got.Groups, []string{"ops"}) {
		t.Errorf("%+v, %v", got, err)
	}
	f.userInfo["sub"] = "somebody else"
	got, err = f.login(oidcProvider(t, f, nil))
	wantRefused(t, got, err, "somebody else")
}

func TestOIDCDomains(t *testing.T) {
	f := newFake(t)
	f.claims = f.good()
	if _, err := f.login(oidcProvider(t, f, func(s *idp.Settings) { s.AllowDomains = []string{"EXAMPLE.com"} })); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"example.org", "com", "ample.com"} {
		if _, err := f.login(oidcProvider(t, f, func(s *idp.Settings) { s.AllowDomains = []string{bad} })); !errors.Is(err, sess.ErrDenied) {
			t.Errorf("%s: %v, want denied", bad, err)
		}
	}
}

// What the provider says about itself is not believed either.
func TestOIDCHostileDescription(t *testing.T) {
	for name, change := range map[string]func(doc map[string]any){
		"another issuer": func(doc map[string]any) { doc["issuer"] = "https://evil.example" },
		"login page of another scheme": func(doc map[string]any) {
			doc["authorization_endpoint"] = "javascript:alert(1)"
		},
		"token endpoint of another scheme": func(doc map[string]any) { doc["token_endpoint"] = "file:///etc/passwd" },
		"no login page":                    func(doc map[string]any) { delete(doc, "authorization_endpoint") },
		"a megabyte and more":              func(doc map[string]any) { doc["x"] = strings.Repeat("x", 2<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.changes = change
			if _, err := f.login(oidcProvider(t, f, nil)); err == nil {
				t.Error("it is believed")
			}
		})
	}
}

func TestOIDCMixUp(t *testing.T) {
	f := newFake(t)
	p := oidcProvider(t, f, nil)
	got, err := p.Finish(t.Context(), idp.Back{Start: start, Code: "good", Issuer: "https://evil.example"})
	wantRefused(t, got, err, "another provider")
}

// A secret or code that the provider does not take is a refusal with a next step, and the body of its answer stays out.
func TestOIDCExchangeRefused(t *testing.T) {
	f := newFake(t)
	f.claims = f.good()
	c := config(t, idp.OIDC, idp.Settings{Issuer: f.URL, ClientID: clientID})
	c.Secret = "wrong"
	got, err := f.login(provider(t, c))
	wantRefused(t, got, err, "invalid_grant")
}

// Without the owner's leave nothing on this machine or a private network is asked, by whatever name.
func TestClientRefusesPrivateAddresses(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(srv.URL, "http://"), ":")
	for _, host := range []string{
		"127.0.0.1:" + port, "localhost:" + port, "[::1]:" + port, "[::ffff:127.0.0.1]:" + port, "0.0.0.0:" + port, "10.1.2.3", "172.16.0.1", "192.168.1.1",
		"169.254.169.254", "100.100.100.200", "[fe80::1]", "[fd00:ec2::254]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "224.0.0.1", "255.255.255.255",
	} {
		resp, err := idp.NewClient(false).Get("http://" + host + "/")
		if err == nil {
			resp.Body.Close()
			t.Errorf("%s was asked", host)
		} else if !strings.Contains(err.Error(), "idp-allow-private") && !strings.Contains(err.Error(), "unreachable") {
			t.Errorf("%s: %v", host, err)
		}
	}
	resp, err := idp.NewClient(true).Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func TestClientFollowsFewRedirects(t *testing.T) {
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	c := idp.NewClient(true)
	if resp, err := c.Get(srv.URL); err == nil {
		resp.Body.Close()
		t.Error("it redirects for ever")
	}
	if n > 5 {
		t.Errorf("%d requests", n)
	}
	n = 0
	if resp, err := c.Post(srv.URL, "text/plain", strings.NewReader("secret")); err == nil {
		resp.Body.Close()
		t.Error("a secret was sent on")
	}
	if n != 1 {
		t.Errorf("%d requests with a secret", n)
	}
}

// Settings that can't be right are said at once.
func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		kind string
		s    idp.Settings
	}{
		"no kind":                      {"", idp.Settings{}},
		"no issuer":                    {idp.OIDC, idp.Settings{ClientID: "x"}},
		"http":                         {idp.OIDC, idp.Settings{ClientID: "x", Issuer: "http://login.example"}},
		"no client":                    {idp.OIDC, idp.Settings{Issuer: "https://login.example"}},
		"everybody at Google":          {idp.OIDC, idp.Settings{Issuer: "https://accounts.google.com", ClientID: "x"}},
		"everybody at GitHub":          {idp.GitHub, idp.Settings{ClientID: "x"}},
		"no API":                       {idp.GitHub, idp.Settings{ClientID: "x", APIURL: "https://github.example"}},
		"no metadata":                  {idp.SAML, idp.Settings{}},
		"metadata twice":               {idp.SAML, idp.Settings{Metadata: "<x/>", MetadataURL: "https://x.example"}},
		"metadata no XML":              {idp.SAML, idp.Settings{Metadata: "hello"}},
		"metadata of nobody":           {idp.SAML, idp.Settings{Metadata: `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="x"/>`}},
		"a setting with a line in it":  {idp.OIDC, idp.Settings{Issuer: "https://login.example", ClientID: "x\ny"}},
		"an issuer with a password":    {idp.OIDC, idp.Settings{Issuer: "https://u:p@login.example", ClientID: "x"}},
		"more scopes than one can ask": {idp.OIDC, idp.Settings{Issuer: "https://login.example", ClientID: "x", Scopes: make([]string, 21)}},
	} {
		conf := config(t, c.kind, c.s)
		conf.AllowHTTP = false
		if _, err := idp.New(conf); !errors.Is(err, sess.ErrInvalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}
