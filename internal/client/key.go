package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math/big"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// coordinate is the length of each half of a P-256 signature, in bytes.
const coordinate = 32

// sessionKey is the key that one session is bound to on this side: a leaked ticket is worth nothing without it, and it
// alone, not the login, resumes the session. It lives in memory only.
type sessionKey struct {
	private *ecdsa.PrivateKey
}

func newSessionKey() (sessionKey, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return sessionKey{}, fmt.Errorf("make session key: %w", err)
	}
	return sessionKey{private: k}, nil
}

// public gives the uncompressed point, 65 bytes.
func (k sessionKey) public() ([]byte, error) {
	b, err := k.private.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode session key: %w", err)
	}
	return b, nil
}

// sign gives the ECDSA signature of message under SHA-256 as r‖s, 64 bytes: the form that browsers' WebCrypto makes.
func (k sessionKey) sign(message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, k.private, digest[:])
	if err != nil {
		return nil, fmt.Errorf("sign with session key: %w", err)
	}
	return appendCoordinates(r, s), nil
}

func appendCoordinates(r, s *big.Int) []byte {
	out := make([]byte, 2*coordinate)
	r.FillBytes(out[:coordinate])
	s.FillBytes(out[coordinate:])
	return out
}

// resumeProof gives a fresh nonce and the signature that asks for another ticket of session.
func (k sessionKey) resumeProof(session sess.SessionID, server string) (nonce, sig []byte, err error) {
	nonce = make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails: it crashes the program instead
	sig, err = k.sign(wire.SignedMessage(wire.PurposeResume, []byte(session), nonce, []byte(server)))
	return nonce, sig, err
}
