package link

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestRingIsAQueue drives a ring with random writes, views and frees beside a plain byte slice.
func TestRingIsAQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &ring{max: rapid.IntRange(1, 40_000).Draw(t, "max")}
		var all []byte // everything ever written
		var next byte
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				p := make([]byte, rapid.IntRange(0, 20_000).Draw(t, "n"))
				for i := range p {
					p[i] = next
					next++
				}
				n := r.write(p)
				if want := min(len(p), r.max-int(uint64(len(all))-r.base)); n != want {
					t.Fatalf("write took %d of %d bytes, want %d", n, len(p), want)
				}
				next -= byte(len(p) - n)
				all = append(all, p[:n]...)
			},
			"reserve": func(t *rapid.T) {
				if r.room() == 0 {
					t.Skip("full")
				}
				space := r.reserve(rapid.IntRange(1, 9000).Draw(t, "want"))
				if len(space) == 0 {
					t.Fatal("no space reserved though there is room")
				}
				n := rapid.IntRange(0, len(space)).Draw(t, "used")
				for i := range n {
					space[i] = next
					next++
				}
				all = append(all, space[:n]...)
				r.commit(n)
			},
			"free": func(t *rapid.T) {
				r.free(r.base + uint64(rapid.IntRange(0, r.len()).Draw(t, "n")))
			},
			"": func(t *rapid.T) {
				if r.end != uint64(len(all)) || r.len() > r.max || len(r.buf) > max(r.max, ringMin) {
					t.Fatalf("end %d of %d, %d bytes of at most %d in a buffer of %d", r.end, len(all), r.len(), r.max, len(r.buf))
				}
				got := make([]byte, r.len())
				if n := r.copyTo(got, r.base); n != len(got) || !bytes.Equal(got, all[r.base:]) {
					t.Fatalf("holds something else than was written (%d of %d bytes)", n, len(got))
				}
			},
		})
	})
}
