package link

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"testing"
	"time"
)

// certificate makes one for name, signed by parent; without one it signs itself and is a CA.
func certificate(t *testing.T, name string, until time.Time, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if parent == nil {
		parent, by = c, key
		c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// TestPinnedCAVouchesForTheNameOnly: with the pin of a CA, not everybody who has a certificate of it is the server.
func TestPinnedCAVouchesForTheNameOnly(t *testing.T) {
	later, before := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	ca, key := certificate(t, "corporate CA", later, nil, nil)
	other, otherKey := certificate(t, "another CA", later, nil, nil)
	right, _ := certificate(t, "sess.example.com", later, ca, key)
	neighbour, _ := certificate(t, "printer.example.com", later, ca, key)
	old, _ := certificate(t, "sess.example.com", before, ca, key)
	forged, _ := certificate(t, "sess.example.com", later, other, otherKey)
	check := Server{URL: &url.URL{Scheme: "https", Host: "sess.example.com"}, Pin: Pin(ca)}.TLSConfig().VerifyConnection
	for name, c := range map[string]struct {
		leaf *x509.Certificate
		ok   bool
	}{"the server": {right, true}, "a neighbour": {neighbour, false}, "expired": {old, false}, "of another CA": {forged, false}} {
		err := check(tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.leaf, ca}})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
