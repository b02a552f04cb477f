package server

import (
	"bytes"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

func ownPin(t *testing.T, d dataDir, hosts []string, now time.Time) []byte {
	t.Helper()
	cert, err := d.ownCertificate(hosts, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hosts {
		if err := cert.Leaf.VerifyHostname(h); err != nil {
			t.Errorf("certificate: %v", err)
		}
	}
	pin, err := pinOf(cert)
	if err != nil {
		t.Fatal(err)
	}
	return pin
}

func TestOwnCertificateKeepsItsPin(t *testing.T) {
	d, now := dataDir{path: t.TempDir()}, time.Now()
	first := ownPin(t, d, []string{"localhost", "127.0.0.1", "::1"}, now)
	crt := filepath.Join(d.path, "keys", "tls.crt")
	was, err := os.ReadFile(crt)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, ownPin(t, d, []string{"localhost"}, now)) {
		t.Error("a second start has another pin")
	}
	if is, _ := os.ReadFile(crt); !bytes.Equal(was, is) {
		t.Error("a second start made another certificate")
	}
	if !bytes.Equal(first, ownPin(t, d, []string{"sess.example.com"}, now)) {
		t.Error("another host name changed the pin")
	}
	if !bytes.Equal(first, ownPin(t, d, []string{"sess.example.com"}, now.Add(certLife-certRenew+time.Hour))) {
		t.Error("renewal changed the pin")
	}
	if is, _ := os.ReadFile(crt); bytes.Equal(was, is) {
		t.Error("a certificate that runs out was not renewed")
	}
	info, err := os.Stat(filepath.Join(d.path, "keys", "tls.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info.Mode(), err)
	}
}

func TestKeysThatCannotBeTrusted(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		spoil      func(path string) error
	}{
		{"cut off", "is broken", func(p string) error { return os.Truncate(p, 20) }},
		{"readable by others", "others may read", func(p string) error { return os.Chmod(p, 0o644) }},
		{"too large", "is broken", func(p string) error { return os.Truncate(p, maxKeyFile+1) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := dataDir{path: t.TempDir()}
			if _, err := d.loadKey(brokerKey); err != nil {
				t.Fatal(err)
			}
			if err := tc.spoil(d.join("keys", brokerKey)); err != nil {
				t.Fatal(err)
			}
			_, err := d.loadKey(brokerKey)
			var e *sess.Error
			if !errors.As(err, &e) || !strings.Contains(e.Message, tc.want) || e.Hint == "" {
				t.Errorf("error %v, want one with %q and a hint", err, tc.want)
			}
		})
	}
}

func TestCertificateFilesAreReadAgain(t *testing.T) {
	a, b := dataDir{path: t.TempDir()}, dataDir{path: t.TempDir()}
	now := time.Now()
	ownPin(t, a, []string{"a.example"}, now)
	ownPin(t, b, []string{"b.example"}, now)
	f := &certFiles{cert: a.join("keys", "tls.crt"), key: a.join("keys", "tls.key")}
	host := func() string {
		t.Helper()
		c, err := f.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.DNSNames[0]
	}
	if h := host(); h != "a.example" {
		t.Fatal(h)
	}
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Rename(b.join("keys", name), a.join("keys", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(f.cert, now, now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if h := host(); h != "b.example" {
		t.Errorf("after a renewal the certificate is for %s", h)
	}
	if err := os.WriteFile(f.cert, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if h := host(); h != "b.example" {
		t.Errorf("a file being written took the certificate away: %s", h)
	}
}

func TestTLSConfigErrors(t *testing.T) {
	c := Config{TLS: TLSFiles, TLSCert: "/nowhere.crt", TLSKey: "/nowhere.key"}
	if _, err := c.tlsConfig(dataDir{path: t.TempDir()}, nil, time.Now()); !errors.Is(err, sess.ErrInvalid) {
		t.Errorf("missing files: %v", err)
	}
	c = Config{TLS: TLSSelfSigned}
	cfg, err := c.tlsConfig(dataDir{path: t.TempDir()}, []string{"localhost"}, time.Now())
	if err != nil || cfg.MinVersion != tls.VersionTLS13 {
		t.Errorf("own certificate: %v, %v", cfg, err)
	}
}
