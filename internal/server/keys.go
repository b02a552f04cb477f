package server

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/sessctl/sess/internal/identity"
)

// The Ed25519 keys of a server, and the files of keys/ they are in.
const (
	brokerKey = "broker.key" // signs offers to agents, who pin its public half when they enrol
	auditKey  = "audit.key"  // signs the checkpoints of the audit logs
)

// loadKey reads one of the server's keys, or makes it at the first start.
func (d dataDir) loadKey(name string) (ed25519.PrivateKey, error) {
	path := d.join("keys", name)
	b, err := loadOrCreate(path, func() ([]byte, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make %s: %w", name, err)
		}
		return encodeKey(key)
	})
	if err != nil {
		return nil, err
	}
	key, err := decodeKey(b)
	if err != nil {
		return nil, broken(path, err)
	}
	ed, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, broken(path, errors.New("it holds no Ed25519 key"))
	}
	return ed, nil
}

// sealKey is the file of keys/ with the key that seals secrets at rest, as it is: SealKeySize bytes.
const sealKey = "seal.key"

// loadSealKey reads the key that seals secrets at rest, or makes it at the first start.
func (d dataDir) loadSealKey() (key [identity.SealKeySize]byte, err error) {
	path := d.join("keys", sealKey)
	b, err := loadOrCreate(path, func() ([]byte, error) {
		_, _ = rand.Read(key[:]) // never fails: it crashes the program instead
		return key[:], nil
	})
	if err != nil {
		return key, err
	}
	if len(b) != len(key) {
		return key, broken(path, fmt.Errorf("it holds %d bytes and not %d", len(b), len(key)))
	}
	return [identity.SealKeySize]byte(b), nil
}

// maxWord bounds what loadWord reads, bytes.
const maxWord = 255

// loadWord reads a word that was chosen at the first start and stays the same: what other things are bound to.
func (d dataDir) loadWord(name, first string) (string, error) {
	path := d.join("keys", name)
	b, err := loadOrCreate(path, func() ([]byte, error) { return []byte(first + "\n"), nil })
	if err != nil {
		return "", err
	}
	word := strings.TrimSpace(string(b))
	if word == "" || len(word) > maxWord {
		return "", broken(path, errors.New("it holds no name"))
	}
	return word, nil
}

func encodeKey(key any) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func decodeKey(b []byte) (any, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("it is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("decode key: %w", err)
	}
	return key, nil
}
