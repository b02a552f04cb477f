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

// stack gives the roots of the complete subtrees that make up the first size leaves, the largest first, as (level, number of
// it on its level).
func stack(size int64) (nodes [][2]int64) {
	var at int64
	for level := int64(62); level >= 0; level-- {
		if size&(1<<level) != 0 {
			nodes = append(nodes, [2]int64{level, at >> level})
			at += 1 << level
		}
	}
	return nodes
}

// gap gives the roots of the complete subtrees that make up the leaves from first to before last, in order.
func gap(first, last int64) (nodes [][2]int64) {
	for first < last {
		level := int64(0)
		for first&(1<<level) == 0 && first+(1<<(level+1)) <= last && level < 62 {
			level++
		}
		nodes = append(nodes, [2]int64{level, first >> level})
		first += 1 << level
	}
	return nodes
}

// StackHashes gives the indexes (tlog.StoredHashIndex) of the hashes that stand for the first size leaves.
func StackHashes(size int64) []int64 { return stored(stack(size)) }

// GapHashes gives the indexes of the hashes that stand for the leaves from first to before last.
func GapHashes(first, last int64) []int64 { return stored(gap(first, last)) }

func stored(nodes [][2]int64) []int64 {
	out := make([]int64, len(nodes))
	for i, n := range nodes {
		out[i] = tlog.StoredHashIndex(int(n[0]), n[1])
	}
	return out
}

// treeOf makes the tree of size leaves from the hashes of StackHashes; false: they are not as many as there must be.
func treeOf(size int64, hashes []tlog.Hash) (Tree, bool) {
	if size < 0 || len(hashes) != len(stack(size)) {
		return Tree{}, false
	}
	return Tree{size: size, peaks: append([]tlog.Hash(nil), hashes...)}, true
}

// extend adds the leaves up to last by the hashes of GapHashes; false: they are not as many as there must be.
func (t *Tree) extend(last int64, hashes []tlog.Hash) bool {
	nodes := gap(t.size, last)
	if last < t.size || len(hashes) != len(nodes) {
		return false
	}
	for i, h := range hashes {
		level := nodes[i][0]
		for n := t.size >> level; n&1 == 1; n >>= 1 {
			last := len(t.peaks) - 1
			h = tlog.NodeHash(t.peaks[last], h)
			t.peaks = t.peaks[:last]
		}
		t.peaks = append(t.peaks, h)
		t.size += 1 << level
	}
	return true
}
