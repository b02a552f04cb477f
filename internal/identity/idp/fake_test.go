package idp_test

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/identity/idp"
)

// fake is an OpenID Connect provider with keys of its own that says whatever a test wants it to.
type fake struct {
	*httptest.Server

	t         *testing.T
	key       *rsa.PrivateKey
	kid       string
	shown     []jwk // keys at its address
	claims    map[string]any
	userInfo  map[string]any // nil: it has none
	sign      func(header, claims map[string]any) string
	challenge string // of the login under way
	changes   func(doc map[string]any)
	secret    string // that the client showed last
}

type jwk struct {
	Kty string `json:"kty"`
	Use string `json:"use"`
	Kid string `json:"kid"`
	N   string `json:"n"`
	E   string `json:"e"`
}

const (
	clientID = "sess-client"
	secret   = "a client's secret"
)

// now is the time of these tests, of both sides.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{t: t}
	f.rotate("key-1")
	f.sign = f.signed
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		doc := map[string]any{
			"issuer": f.URL, "authorization_endpoint": f.URL + "/auth", "token_endpoint": f.URL + "/token", "jwks_uri": f.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
		}
		if f.userInfo != nil {
			doc["userinfo_endpoint"] = f.URL + "/me"
		}
		if f.changes != nil {
			f.changes(doc)
		}
		answer(w, doc)
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]any{"keys": f.shown}) })
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, _ *http.Request) { answer(w, f.userInfo) })
	mux.HandleFunc("POST /token", f.token)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// rotate gives the provider a new key; the old one is shown no more.
func (f *fake) rotate(kid string) {
	var err error
	if f.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		f.t.Fatal(err)
	}
	f.kid = kid
	f.shown = []jwk{{"RSA", "sig", kid, b64(f.key.N.Bytes()), b64(big.NewInt(int64(f.key.E)).Bytes())}}
}

// token changes the code "good" for a token, for who knows the secret and the verifier.
func (f *fake) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	_, password, _ := r.BasicAuth()
	if password == "" {
		password = r.PostForm.Get("client_secret")
	}
	f.secret = password
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	if unescaped, _ := url.QueryUnescape(password); unescaped != secret || r.PostForm.Get("code") != "good" || b64(sum[:]) != f.challenge {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": "invalid_grant"})
		return
	}
	out := map[string]any{"access_token": "an access token", "token_type": "Bearer"}
	if id := f.sign(map[string]any{"alg": "RS256", "typ": "JWT", "kid": f.kid}, f.claims); id != "" {
		out["id_token"] = id
	}
	answer(w, out)
}

func encode(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	h, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	c, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return b64(h) + "." + b64(c)
}

func (f *fake) signed(header, claims map[string]any) string { return f.signedBy(f.key, header, claims) }

func (f *fake) signedBy(key *rsa.PrivateKey, header, claims map[string]any) string {
	text := encode(f.t, header, claims)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		f.t.Fatal(err)
	}
	return text + "." + b64(sig)
}

// hmacSigned signs with the public key as if it were a secret: an old trick.
func (f *fake) hmacSigned(header, claims map[string]any) string {
	header["alg"] = "HS256"
	text := encode(f.t, header, claims)
	der, err := x509.MarshalPKIXPublicKey(&f.key.PublicKey)
	if err != nil {
		f.t.Fatal(err)
	}
	m := hmac.New(sha256.New, der)
	m.Write([]byte(text))
	return text + "." + b64(m.Sum(nil))
}

func mustURL(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// config is what an adapter to a fake is made of.
func config(t *testing.T, kind string, settings idp.Settings) idp.Config {
	t.Helper()
	return idp.Config{
		Kind: kind, Settings: settings, Secret: secret, Client: idp.NewClient(true), Now: func() time.Time { return now }, AllowHTTP: true,
		Callback: mustURL(t, "https://box.example/idp/idp_x/callback"), ACS: mustURL(t, "https://box.example/idp/idp_x/acs"),
		Metadata: mustURL(t, "https://box.example/idp/idp_x/metadata"),
	}
}

func provider(t *testing.T, c idp.Config) idp.Provider {
	t.Helper()
	p, err := idp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var start = idp.Start{State: "a state", Nonce: "a nonce", Verifier: "a verifier of forty-three characters, or more"}

// login sends a browser to the provider and back.
func (f *fake) login(p idp.Provider) (idp.Person, error) {
	sent, err := p.Begin(f.t.Context(), start)
	if err != nil {
		return idp.Person{}, err
	}
	q := mustURL(f.t, sent.URL).Query()
	f.challenge = q.Get("code_challenge")
	for name, want := range map[string]string{
		"state": start.State, "nonce": start.Nonce, "client_id": clientID, "response_type": "code", "code_challenge_method": "S256",
		"redirect_uri": "https://box.example/idp/idp_x/callback",
	} {
		if q.Get(name) != want {
			f.t.Errorf("the provider is asked with %s=%q, want %q", name, q.Get(name), want)
		}
	}
	return p.Finish(f.t.Context(), idp.Back{Start: start, Code: "good"})
}

// good are claims that hold.
func (f *fake) good() map[string]any {
	return map[string]any{
		"iss": f.URL, "aud": clientID, "sub": "248289761001", "nonce": start.Nonce, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"email": "Ann@Example.com", "email_verified": true, "groups": []string{"ops", "dev"},
	}
}
