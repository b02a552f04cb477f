package recording

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sessctl/sess/internal/sess"
)

// Files of the chain and the segments.
const (
	chainFile    = "chain.jsonl"
	maxChain     = 256 << 20 // bytes of chain.jsonl: about a million segments
	maxChainLine = 1 << 10
	perFile      = 64 // segments in one NNNNNN.zst or NNNNNN.age
)

// link is one line of chain.jsonl: a segment, or the end of the recording. Each carries the SHA-256 of the line before
// it (the first: of meta.json), so the digest of the last line stands for the whole recording.
type link struct {
	N       uint64 `json:"n"`                 // the segment's number; of the end: how many there are
	Prev    string `json:"prev"`              // hex SHA-256 of the line before, without its newline
	File    string `json:"file,omitempty"`    // where the segment lies
	At      int64  `json:"at,omitempty"`      // offset there
	Size    int64  `json:"size,omitempty"`    // length there: of a zstd frame, or of that encrypted
	SHA256  string `json:"sha256,omitempty"`  // hex, of the same
	Bytes   int64  `json:"bytes"`             // records, uncompressed; of the end: all of them
	Seq     uint64 `json:"seq"`               // of the segment's first record; of the end: how many records there are
	Records uint64 `json:"records,omitempty"` // in the segment
	Time    int64  `json:"time"`              // of the last record, µs since the start

	End    sess.RecordingState `json:"end,omitempty"`    // complete, incomplete or off: this is the end
	Stored int64               `json:"stored,omitempty"` // of the end: bytes of all segments on disk
	Client uint64              `json:"client,omitempty"` // of the end: payload bytes from the client
	Agent  uint64              `json:"agent,omitempty"`  // of the end: payload bytes from the agent
	Moved  *sess.Traffic       `json:"moved,omitempty"`  // of the end: bytes that passed, on record or not
	Why    string              `json:"why,omitempty"`    // of the end: what is missing
}

func digest(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// chain is what chain.jsonl says.
type chain struct {
	sealed  bool     // its segments are encrypted
	links   []link   // of a writer: empty
	lines   [][]byte // as written, without newlines; of a writer: empty
	head    string   // digest of the last line, or of meta.json
	size    int64    // bytes of complete lines
	next    uint64   // number of the next segment, if none is lost
	file    string   // of the last segment
	fileEnd int64    // where it ends there
	stored  int64    // bytes of all segments, on disk
	bytes   int64    // and uncompressed
	count   int      // segments
	ended   *link    // the end of the recording; nil while there is none
	problem string   // the first mistake in the chain
}

// note moves the head of the chain behind line, which is l.
func (c *chain) note(l *link, line []byte) {
	c.head = digest(line)
	c.size += int64(len(line)) + 1
	if l.End != "" {
		c.ended = l
	} else {
		c.count++
		c.next, c.file, c.fileEnd = l.N+1, l.File, l.At+l.Size
		c.stored += l.Size
		c.bytes += l.Bytes
	}
}

// forgetLines keeps of a chain what its writer needs.
func (c *chain) forgetLines() { c.links, c.lines = nil, nil }

// segments gives the links of segments.
func (c *chain) segments() []link {
	if c.ended != nil {
		return c.links[:len(c.links)-1]
	}
	return c.links
}

// readChain reads chain.jsonl. A last line without newline was being written when the writer died: it does not count.
// Mistakes before that are no error but a problem, and the lines are taken as far as they can be understood.
func readChain(dir string, m *Meta, meta []byte) (*chain, error) {
	b, err := readBounded(filepath.Join(dir, chainFile), maxChain)
	if err != nil && !notExist(err) {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	c := &chain{head: digest(meta), sealed: m.Sealed()}
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return c, nil
		}
		c.add(b[:i])
		b = b[i+1:]
	}
}

// add takes one line into the chain and notes what is wrong with it.
func (c *chain) add(line []byte) {
	l, err := c.check(line)
	if err != nil && c.problem == "" {
		c.problem = fmt.Sprintf("%s line %d: %v", chainFile, len(c.lines)+1, err)
	}
	c.lines = append(c.lines, line)
	c.links = append(c.links, l)
	c.note(&l, line)
}

var errLink = errors.New("malformed")

func (c *chain) check(line []byte) (link, error) {
	var l link
	if len(line) > maxChainLine || json.Unmarshal(line, &l) != nil {
		return link{N: c.next}, errLink
	}
	switch {
	case c.ended != nil:
		return link{N: c.next}, errors.New("follows the end")
	case l.End != "" && l.End != sess.RecordingComplete && l.End != sess.RecordingIncomplete && l.End != sess.RecordingOff:
		return link{N: c.next}, errLink
	case l.End == "" && (l.N >= 1<<40 || l.File != segmentFile(l.N, c.sealed) || l.At < 0 || l.Size <= 0 || l.Size > maxSegmentSealed ||
		l.Bytes <= 0 || l.Bytes > MaxSegmentBytes || l.Seq >= 1<<60 || l.Records >= 1<<40):
		return link{N: c.next}, errLink
	case l.N < c.next:
		return link{N: c.next}, fmt.Errorf("is segment %d, expected %d", l.N, c.next)
	case l.Prev != c.head:
		return l, errors.New("does not continue the line before: it was altered, or one is missing")
	case l.N > c.next:
		return l, fmt.Errorf("is segment %d, expected %d: what lies between was lost", l.N, c.next)
	}
	return l, nil
}

func segmentFile(n uint64, sealed bool) string {
	ext := "zst"
	if sealed {
		ext = "age"
	}
	return fmt.Sprintf("%06d.%s", n/perFile*perFile, ext)
}

// readStored reads a segment as it lies on disk. into may be nil.
func readStored(dir string, l *link, into []byte) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, l.File))
	if err != nil {
		return nil, fmt.Errorf("segment %d: %w", l.N, err)
	}
	defer f.Close()
	b := grow(into, int(l.Size))
	if _, err := f.ReadAt(b, l.At); err != nil {
		return nil, fmt.Errorf("segment %d: %w", l.N, err)
	}
	return b, nil
}

// grow gives n bytes, in b where they fit.
func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}
