package recording

import (
	"bytes"
	"crypto/rand"
	"slices"
	"testing"

	"filippo.io/age"

	"github.com/sessctl/sess/internal/sess"
)

// Whatever a segment holds, the decoder gives it back; only what gets smaller is compressed.
func TestStoredSegments(t *testing.T) {
	d, err := OpenDir(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	id := Identity{age: key, Recipient: key.Recipient().String()}
	to, err := parseRecipients(slices.Repeat([]string{id.Recipient}, sess.MaxRecipients))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := newOpener(&Meta{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.close()
	sealed, err := newOpener(&Meta{Recipients: []string{id.Recipient}}, []Identity{id})
	if err != nil {
		t.Fatal(err)
	}
	defer sealed.close()
	noise := make([]byte, 3<<20+17)
	_, _ = rand.Read(noise)
	text := bytes.Repeat([]byte("a line of a log, as they are\n"), 50_000)
	for name, c := range map[string]struct {
		raw     []byte
		smaller bool
	}{
		"noise":                        {noise, false},
		"noise of whole blocks":        {noise[:4*rawBlock], false},
		"a little noise":               {noise[:100], false},
		"text":                         {text, true},
		"text between noise":           {append(append(bytes.Clone(noise[:1<<20]), text...), noise[:1<<20]...), true},
		"the largest, all of it noise": {bytes.Repeat(noise, MaxSegmentBytes/len(noise)+1)[:MaxSegmentBytes], false},
	} {
		stored := d.store(nil, c.raw)
		if len(stored) > maxSegmentStored {
			t.Errorf("%s: %d bytes became %d, more than a reader takes", name, len(c.raw), len(stored))
		}
		for _, size := range []int{0, len(c.raw)} {
			got, err := plain.unpack(stored, size)
			if err != nil || !bytes.Equal(got, c.raw) {
				t.Errorf("%s: %d bytes came back of %d: %v", name, len(got), len(c.raw), err)
			}
		}
		if got, err := plain.unpack(stored, len(c.raw)-1); err == nil {
			t.Errorf("%s: %d bytes came back, one more than they should be", name, len(got))
		}
		encrypted, err := seal(nil, stored, to)
		if err != nil || len(encrypted) > maxSegmentSealed {
			t.Errorf("%s: %d bytes became %d, more than a reader takes: %v", name, len(c.raw), len(encrypted), err)
		}
		got, err := sealed.unpack(encrypted, len(c.raw))
		if err != nil || !bytes.Equal(got, c.raw) {
			t.Errorf("%s, encrypted: %d bytes came back of %d: %v", name, len(got), len(c.raw), err)
		}
		if (len(stored) < len(c.raw)) != c.smaller {
			t.Errorf("%s: %d bytes became %d", name, len(c.raw), len(stored))
		}
	}
}

func BenchmarkStoreNoise(b *testing.B) {
	d, err := OpenDir(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	raw := make([]byte, 4<<20)
	_, _ = rand.Read(raw)
	dst := make([]byte, 0, len(raw)+4<<10)
	for name, f := range map[string]func(){
		"store":    func() { d.store(dst, raw) },
		"compress": func() { d.zstd.EncodeAll(raw, dst) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				f()
			}
		})
	}
}
