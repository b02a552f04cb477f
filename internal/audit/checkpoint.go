package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sessctl/sess/internal/sess"
)

// MaxCheckpoint bounds a signed checkpoint, in bytes.
const MaxCheckpoint = 4 << 10

// maxSize bounds the events of a log: more than any has, and so few that no sum of places overflows, here or in package tlog,
// which goes round for ever then. What says that there are more is refused before anything is computed, signed or not.
const maxSize = 1 << 48

// Checkpoint says what a log was at one time: how many events, and the root of the tree over them.
type Checkpoint struct {
	Log  string // an org's id, or "box"
	Size int64
	Root tlog.Hash
}

// Signer signs checkpoints with the server's log key. The key lives outside the database, so that who can write the
// database can't make a log that verifies.
type Signer struct {
	name string
	vkey string
	hash uint32
	key  ed25519.PrivateKey
}

// NewSigner makes the signer of a server; name is the host name in its public URL, and part of what is signed.
func NewSigner(name string, key ed25519.PrivateKey) (*Signer, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("audit log key has the wrong size")
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("audit log key is not Ed25519")
	}
	vkey, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		return nil, fmt.Errorf("audit log key for %q: %w", name, err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("audit log key for %q: %w", name, err)
	}
	return &Signer{name: name, vkey: vkey, hash: v.KeyHash(), key: key}, nil
}

// VerifierKey gives what others verify checkpoints with: "name+hash+key", one line, public.
func (s *Signer) VerifierKey() string { return s.vkey }

// Name gives the name of the key, for package note.
func (s *Signer) Name() string { return s.name }

// KeyHash gives the hash of the key, for package note.
func (s *Signer) KeyHash() uint32 { return s.hash }

// Sign signs the text of a note, for package note.
func (s *Signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

// Checkpoint signs c: a note whose text is three lines, the origin (the key's name, a slash, the log's name), the size
// in decimal and the root in base64.
func (s *Signer) Checkpoint(c Checkpoint) (string, error) {
	msg, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s/%s\n%d\n%s\n", s.name, c.Log, c.Size, c.Root)}, s)
	if err != nil {
		return "", fmt.Errorf("sign checkpoint: %w", err)
	}
	return string(msg), nil
}

// OpenCheckpoint checks the signature of a checkpoint by the verifier key and reads it.
func OpenCheckpoint(signed, vkey string) (Checkpoint, error) {
	if len(signed) > MaxCheckpoint {
		return Checkpoint{}, fmt.Errorf("checkpoint of %d bytes is larger than %d", len(signed), MaxCheckpoint)
	}
	v, err := Verifier(vkey)
	if err != nil {
		return Checkpoint{}, err
	}
	n, err := note.Open([]byte(signed), note.VerifierList(v))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint is not signed by %s: %w", v.Name(), err)
	}
	// Base64 has spare bits at its end; a checkpoint that differs there would verify and still be other bytes.
	if again, err := note.Sign(n); err != nil || string(again) != signed {
		return Checkpoint{}, errors.New("checkpoint is not written as it was signed")
	}
	for _, s := range n.Sigs {
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return Checkpoint{}, errors.New("checkpoint is not written as it was signed")
		}
	}
	return parseCheckpoint(n.Text, v.Name())
}

// Verifier reads a verifier key as Signer.VerifierKey gives it.
func Verifier(vkey string) (note.Verifier, error) {
	v, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return nil, sess.Wrap(err, sess.CodeInvalid, "the verifier key is not valid", "it is the one line NAME+HASH+KEY that sess-server prints and sessctl audit verify shows")
	}
	return v, nil
}

func parseCheckpoint(text, name string) (Checkpoint, error) {
	lines := strings.SplitN(text, "\n", 4) // later versions may add lines
	if len(lines) < 4 {
		return Checkpoint{}, errors.New("checkpoint has fewer than three lines")
	}
	log, ok := strings.CutPrefix(lines[0], name+"/")
	if !ok || log == "" {
		return Checkpoint{}, fmt.Errorf("checkpoint of %q is not one of %q", lines[0], name)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || size > maxSize || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("checkpoint has no valid size: %q", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint has no valid root: %w", err)
	}
	return Checkpoint{Log: log, Size: size, Root: root}, nil
}

func emptyRoot() tlog.Hash { return sha256.Sum256(nil) }
