package broker

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"math/big"

	"github.com/sessctl/sess/internal/sess"
)

// Sizes in bytes of what clients prove themselves with.
const (
	keySize       = 65 // an uncompressed P-256 point
	signatureSize = 64 // r‖s of ECDSA P-256
)

// checkKey reports whether a session's key is what it has to be: an uncompressed point on P-256.
func checkKey(point []byte) error {
	if _, err := parseKey(point); err != nil {
		return sess.Wrap(err, sess.CodeInvalid, "the session's public key is no uncompressed P-256 point", "")
	}
	return nil
}

func parseKey(point []byte) (*ecdsa.PublicKey, error) {
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
}

// signedByClient reports whether message is signed by the session key that the database keeps as key.
func signedByClient(key string, message, signature []byte) bool {
	point, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(point) != keySize || len(signature) != signatureSize {
		return false
	}
	pub, err := parseKey(point)
	if err != nil {
		return false
	}
	digest := sha256.Sum256(message)
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	return ecdsa.Verify(pub, digest[:], r, s)
}

// signedByAgent reports whether message is signed by the instance key that the database keeps as key.
func signedByAgent(key string, message, signature []byte) bool {
	pub, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(pub) != ed25519.PublicKeySize || len(signature) != ed25519.SignatureSize {
		return false
	}
	return ed25519.Verify(pub, message, signature)
}
