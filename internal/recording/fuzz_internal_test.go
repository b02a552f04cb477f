package recording

import (
	"bytes"
	"testing"

	"filippo.io/age"

	"github.com/sessctl/sess/internal/recording/vt"
)

// FuzzKeyframe reads a keyframe of anything and goes on from it.
func FuzzKeyframe(f *testing.F) {
	t := vt.New(80, 24)
	_, _ = t.Write([]byte("\x1b[?1049hhello \x1b[31mred"))
	k := keyframe{seq: 5, offset: 7, cols: 80, rows: 24, screen: t.Screen()}
	f.Add(k.encode())
	f.Add(k.encode()[:30])
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := decodeKeyframe(b)
		if err != nil {
			return
		}
		if !bytes.Equal(k.encode(), b) {
			t.Fatal("it is encoded otherwise than it was read")
		}
		s := newStage(&Meta{}, k)
		if cols, rows := s.term.Size(); cols != k.cols || rows != k.rows || s.seq != k.seq || s.offset != k.offset {
			t.Fatalf("%d×%d at %d", cols, rows, s.seq)
		}
	})
}

// FuzzUnseal opens anything with a key: what comes out is no larger than what goes in.
func FuzzUnseal(f *testing.F) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	b, err := seal(nil, []byte("a segment"), []age.Recipient{key.Recipient()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(append(bytes.Repeat([]byte("-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc\n\n"), 200), b...))
	f.Add([]byte("age-encryption.org/v1\n--- "))
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := unseal(b, []age.Identity{key})
		if err == nil && len(out) > len(b) {
			t.Fatalf("%d bytes out of %d", len(out), len(b))
		}
	})
}

// FuzzIdentities reads a file of identities.
func FuzzIdentities(f *testing.F) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("# a comment\n" + key.String()))
	f.Add([]byte("-----BEGIN OPENSSH PRIVATE KEY-----\n"))
	f.Add([]byte("age-encryption.org/v1\n-> scrypt c2FsdA 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ids, err := ParseIdentities(b, func() (string, error) { return "", nil })
		for _, id := range ids {
			if err != nil || id.Recipient == "" || CheckRecipients([]string{id.Recipient}) != nil {
				t.Fatalf("%+v, %v", id, err)
			}
		}
	})
}
