package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crewjam/saml"
	"github.com/crewjam/saml/samlidp"
	dsig "github.com/russellhaering/goxmldsig"
)

// persistent gives people a name that stays, as an admin sets it at real providers; samlidp gives a passing one.
type persistent struct{ saml.DefaultAssertionMaker }

// MakeAssertion implements saml.AssertionMaker.
func (p persistent) MakeAssertion(req *saml.IdpAuthnRequest, session *saml.Session) error {
	session.NameIDFormat = string(saml.PersistentNameIDFormat)
	return p.DefaultAssertionMaker.MakeAssertion(req, session)
}

// samlWorld runs a SAML provider on another site than our server: by name, where the server goes by number. It gives its URL.
func samlWorld(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(nil)
	base := "http://" + strings.Replace(srv.Listener.Addr().String(), "127.0.0.1", "localhost", 1)
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	idp, err := samlidp.New(samlidp.Options{URL: *u, Key: key, Certificate: cert, Store: &samlidp.MemoryStore{}, Logger: log.New(io.Discard, "", 0)})
	if err != nil {
		t.Fatal(err)
	}
	idp.IDP.SignatureMethod, idp.IDP.AssertionMaker = dsig.RSASHA256SignatureMethod, persistent{}
	idp.IDP.LoginURL = idp.IDP.SSOURL // its form goes on with the login; by itself it ends with the form
	srv.Config.Handler = idp
	srv.Start()
	t.Cleanup(srv.Close)
	put(t, base+"/users/ben", []byte(`{"name": "ben", "password": "ben's password", "email": "ben@example.com", "groups": ["ops"]}`))
	return base
}

func put(t *testing.T, where string, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, where, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Fatalf("PUT %s: %s", where, resp.Status)
	}
}

// fetch reads what our server shows to everybody.
func fetch(t *testing.T, where string) []byte {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // its certificate is its own
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, where, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v: %s", where, resp.Status, err, b)
	}
	return b
}
