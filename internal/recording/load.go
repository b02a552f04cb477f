package recording

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// opener turns the stored form of segments into their records.
type opener struct {
	zstd   *zstd.Decoder
	sealed bool           // they are encrypted
	ids    []age.Identity // of those who read them; none: only their digests are checked
}

// newOpener gives an opener for the recording that m describes. It can't be made to give more than a segment's bytes.
func newOpener(m *Meta, ids []Identity) (*opener, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxSegmentBytes), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	o := &opener{zstd: d, sealed: m.Sealed()}
	for _, id := range ids {
		o.ids = append(o.ids, id.age)
	}
	return o, nil
}

func (o *opener) close() { o.zstd.Close() }

// load reads one segment from disk and checks it against its link.
func (o *opener) load(dir string, l *link) (*segment, error) {
	stored, err := readStored(dir, l, nil)
	if err != nil {
		return nil, err
	}
	return o.open(stored, l)
}

// open checks the stored form of a segment against its link and opens it. One that can't be read here, but is the one that the
// link names, is errSealed.
func (o *opener) open(stored []byte, l *link) (*segment, error) {
	if digest(stored) != l.SHA256 {
		return nil, fmt.Errorf("segment %d does not match its digest", l.N)
	}
	if o.sealed && len(o.ids) == 0 {
		return nil, errSealed
	}
	b, err := o.unpack(stored, int(l.Bytes))
	if err != nil {
		return nil, fmt.Errorf("segment %d: %w", l.N, err)
	}
	s, err := openSegment(b)
	if err != nil {
		return nil, fmt.Errorf("segment %d: %w", l.N, err)
	}
	if s.check.number != l.N || s.first.Seq != l.Seq {
		return nil, fmt.Errorf("segment %d is not the one the chain names", l.N)
	}
	return s, nil
}

// errSize says that a segment holds another number of bytes than it should.
var errSize = errors.New("it is not as large as it should be")

// unpack gives the size bytes of records that stored holds, or as many as a segment may hold at most where size is 0.
func (o *opener) unpack(stored []byte, size int) ([]byte, error) {
	if o.sealed {
		var err error
		if stored, err = unseal(stored, o.ids); err != nil {
			return nil, err
		}
	}
	// Not DecodeAll: that bounds each of many frames, and not what they give together.
	if err := o.zstd.Reset(bytes.NewReader(stored)); err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	limit := size
	if size == 0 {
		limit = MaxSegmentBytes
	}
	b, err := readUpTo(o.zstd, limit+1, min(limit+1, 8*len(stored)+512))
	switch {
	case err != nil:
		return nil, fmt.Errorf("decompress: %w", err)
	case len(b) > limit || size > 0 && len(b) != size:
		return nil, errSize
	}
	return b, nil
}

// readUpTo reads to the end of r, but no more than limit bytes; hint is how many are likely.
func readUpTo(r io.Reader, limit, hint int) ([]byte, error) {
	b := make([]byte, 0, hint)
	for len(b) < limit {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):min(cap(b), limit)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}
