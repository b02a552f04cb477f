package identity

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// SealKeySize is the size in bytes of the key that seals secrets at rest. It lies outside the database.
const SealKeySize = chacha20poly1305.KeySize

// sealer seals what the server must be able to read again: secrets of second factors and of identity providers.
// Everything else is hashed.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (sealer, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return sealer{}, fmt.Errorf("open seal key: %w", err)
	}
	return sealer{aead}, nil
}

// seal gives plain as text that only open with the same context reads: XChaCha20-Poly1305 with a random nonce. The context
// says whose and what it is (org, user, kind), so that a sealed secret moved to another row opens nothing.
func (s sealer) seal(plain []byte, context string) string {
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return base64.RawStdEncoding.EncodeToString(s.aead.Seal(nonce, nonce, plain, []byte(context)))
}

// open reads what seal wrote. Its errors hold nothing of it.
func (s sealer) open(sealed, context string) ([]byte, error) {
	b, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil || len(b) < s.aead.NonceSize() {
		return nil, errors.New("open sealed secret: it is damaged")
	}
	plain, err := s.aead.Open(nil, b[:s.aead.NonceSize()], b[s.aead.NonceSize():], []byte(context))
	if err != nil {
		return nil, errors.New("open sealed secret: it was sealed with another key, or damaged")
	}
	return plain, nil
}

// Seal seals plain for a room that keeps secrets of its own; context says whose and what it is, and must not be one of
// identity's.
func (s *Service) Seal(plain []byte, context string) string { return s.sealer.seal(plain, context) }

// Open reads what Seal wrote with the same context. Its errors hold nothing of it.
func (s *Service) Open(sealed, context string) ([]byte, error) { return s.sealer.open(sealed, context) }
