package recording

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/sessctl/sess/internal/wire"
)

// given holds what was given of a segment that was still being written against what the chain has of it later, when it
// comes: only the chain is what a digest stands for. Without that, whoever sends a recording could send other records ahead of
// it, of which nothing is ever checked, and those of the chain would pass for repetitions.
type given struct {
	from           uint64    // the first record that was in no chain
	shown, chained hash.Hash // of the records from there on, as given and as in the chain; nil: all came from the chain
}

// take notes a record that was given, or that the chain repeats.
func (g *given) take(r *Record, shown, chained bool) {
	if g.shown == nil {
		if chained || !shown {
			return
		}
		g.from, g.shown, g.chained = r.Seq, sha256.New(), sha256.New()
	}
	if r.Seq < g.from {
		return
	}
	var head [8 + 8 + 1 + 1 + 8 + wire.HeaderSize]byte
	b := binary.BigEndian.AppendUint64(head[:0], r.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time)) //nolint:gosec // never negative
	b = append(b, byte(r.Kind), sideCode(r.Side))
	b = binary.BigEndian.AppendUint64(b, uint64(len(r.Payload)))
	r.Header.Put(head[len(b):])
	if shown {
		g.shown.Write(head[:])
		g.shown.Write(r.Payload)
	}
	if chained {
		g.chained.Write(head[:])
		g.chained.Write(r.Payload)
	}
}

// same reports whether the chain has what was given.
func (g *given) same() bool {
	return g.shown == nil || string(g.shown.Sum(nil)) == string(g.chained.Sum(nil))
}
