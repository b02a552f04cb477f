package audit

import (
	"golang.org/x/mod/sumdb/tlog"
)

// Tree computes the root of the Merkle tree over events given one by one, in memory that grows with the logarithm of
// their number. It is the tree of RFC 6962: a leaf is SHA-256(0x00 ‖ bytes), a node SHA-256(0x01 ‖ left ‖ right).
type Tree struct {
	size  int64
	peaks []tlog.Hash // roots of the complete subtrees that make up size, the largest first
}

// Append adds the leaf of an event's bytes and returns its hash.
func (t *Tree) Append(body []byte) tlog.Hash {
	h := tlog.RecordHash(body)
	t.AppendHash(h)
	return h
}

// AppendHash adds a leaf by its hash.
func (t *Tree) AppendHash(leaf tlog.Hash) {
	h := leaf
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.peaks) - 1
		h = tlog.NodeHash(t.peaks[last], h)
		t.peaks = t.peaks[:last]
	}
	t.peaks = append(t.peaks, h)
	t.size++
}

// Size gives the number of leaves.
func (t *Tree) Size() int64 { return t.size }

// Root gives the root of the tree so far; that of the empty tree is SHA-256 of nothing.
func (t *Tree) Root() tlog.Hash {
	if len(t.peaks) == 0 {
		return emptyRoot()
	}
	h := t.peaks[len(t.peaks)-1]
	for i := len(t.peaks) - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.peaks[i], h)
	}
	return h
}
