package server

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// A certificate of our own is valid for certLife and made anew, over the same key, when less than certRenew is left.
// Clients pin the key, so a new certificate changes nothing for them.
const (
	certLife  = 10 * 365 * 24 * time.Hour
	certRenew = 365 * 24 * time.Hour
)

// tlsConfig makes the configuration of the listener. hosts are the names and addresses an own certificate should be for.
func (c Config) tlsConfig(d dataDir, hosts []string, now time.Time) (*tls.Config, error) {
	base := &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"http/1.1"}, // WebSockets need it
		// A frame is one record from the first byte on: streams are either bulk or keys, neither gains by small records.
		DynamicRecordSizingDisabled: true,
	}
	switch c.TLS {
	case TLSOff:
		return nil, nil
	case TLSFiles:
		files := &certFiles{cert: c.TLSCert, key: c.TLSKey}
		if _, err := files.get(nil); err != nil {
			return nil, err
		}
		base.GetCertificate = files.get
	default:
		cert, err := d.ownCertificate(hosts, now)
		if err != nil {
			return nil, err
		}
		base.Certificates = []tls.Certificate{cert}
	}
	return base, nil
}

// pinOf gives the SHA-256 of a certificate's SubjectPublicKeyInfo in DER, which is what sessctl, sess-agent and curl's
// --pinnedpubkey compare.
func pinOf(cert tls.Certificate) ([]byte, error) {
	leaf := cert.Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
	}
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return sum[:], nil
}

// ownCertificate loads our own key and certificate, makes what is missing, and makes the certificate anew over the same
// key when it is for other hosts or runs out.
func (d dataDir) ownCertificate(hosts []string, now time.Time) (tls.Certificate, error) {
	keyPath, certPath := d.join("keys", "tls.key"), d.join("keys", "tls.crt")
	keyPEM, err := loadOrCreate(keyPath, func() ([]byte, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make TLS key: %w", err)
		}
		return encodeKey(key)
	})
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := decodeKey(keyPEM)
	if err != nil {
		return tls.Certificate{}, broken(keyPath, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return tls.Certificate{}, broken(keyPath, errors.New("it holds no key that signs"))
	}
	if certPEM, err := readSecret(certPath); err == nil {
		if cert, err := tls.X509KeyPair(certPEM, keyPEM); err == nil && serves(cert.Leaf, hosts, now) {
			return cert, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return tls.Certificate{}, err
	}
	certPEM, err := makeCertificate(signer, hosts, now)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := writeSecret(certPath, certPEM); err != nil {
		return tls.Certificate{}, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return cert, fmt.Errorf("use new certificate: %w", err)
	}
	return cert, nil
}

func serves(cert *x509.Certificate, hosts []string, now time.Time) bool {
	if now.Add(certRenew).After(cert.NotAfter) {
		return false
	}
	return !slices.ContainsFunc(hosts, func(h string) bool { return cert.VerifyHostname(h) != nil })
}

func makeCertificate(key crypto.Signer, hosts []string, now time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "sess-server"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// certFiles gives the certificate in two files, and reads them again when they have changed, so that whatever renews
// them needs no restart of the server. A change that can't be read leaves the certificate as it was.
type certFiles struct {
	cert, key string

	mu    sync.Mutex // protects the following
	last  *tls.Certificate
	stamp time.Time // modification time of the certificate file that last is from
}

func (f *certFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.cert)
	if err == nil && f.last != nil && info.ModTime().Equal(f.stamp) {
		return f.last, nil
	}
	cert, lerr := tls.LoadX509KeyPair(f.cert, f.key)
	if err = errors.Join(err, lerr); err != nil {
		if f.last != nil {
			return f.last, nil
		}
		return nil, sess.Wrap(err, sess.CodeInvalid, "the certificate "+f.cert+" with key "+f.key+" can't be used", "both are PEM files; the first certificate is the server's own")
	}
	f.last, f.stamp = &cert, info.ModTime()
	return f.last, nil
}
