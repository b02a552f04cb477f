//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// spliceCertLife is how long the certificate of a run is valid.
const spliceCertLife = 24 * time.Hour

// startSplice starts relay and agent of the splice.
func (b *bench) startSplice() (*system, error) {
	dir := filepath.Join(b.dir, "splice")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if err := spliceCertificate(dir); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	relay, err := b.daemon(filepath.Join(dir, "relay.log"), self, "splice", "relay", dir, addr)
	if err != nil {
		return nil, err
	}
	if err := waitPort(port); err != nil {
		return nil, err
	}
	agent, err := b.daemon(filepath.Join(dir, "agent.log"), self, "splice", "agent", dir, addr)
	if err != nil {
		return nil, err
	}
	client := func(role string, argv ...string) *exec.Cmd {
		return exec.Command(self, append([]string{"splice", role, dir, addr}, argv...)...)
	}
	return &system{
		name: rawSplice, client: "splice client",
		shell: func(script string) *exec.Cmd { return client("tty", "sh", "-c", script) },
		exec:  func(argv ...string) *exec.Cmd { return client("exec", argv...) },
		parts: []daemon{{"splice relay", relay}, {"splice agent", agent}},
	}, nil
}

func spliceCertificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(spliceCertLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(dir+"/cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600),
		os.WriteFile(dir+"/key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
}

func splicePool(dir string) (*x509.CertPool, error) {
	text, err := os.ReadFile(dir + "/cert.pem")
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("no certificate")
	}
	return pool, nil
}
