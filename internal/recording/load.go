package recording

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// newDecoder gives a decoder of segments that can't be made to give more than a segment's bytes.
func newDecoder() (*zstd.Decoder, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxSegmentBytes), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	return d, nil
}

// loadSegment reads one segment from disk and checks it against its link.
func loadSegment(dir string, l *link, dec *zstd.Decoder) (*segment, error) {
	stored, err := readStored(dir, l, nil)
	if err != nil {
		return nil, err
	}
	return decodeSegment(stored, l, dec)
}

// decodeSegment checks the stored form of a segment against its link and opens it.
func decodeSegment(stored []byte, l *link, dec *zstd.Decoder) (*segment, error) {
	if digest(stored) != l.SHA256 {
		return nil, fmt.Errorf("segment %d does not match its digest", l.N)
	}
	b, err := dec.DecodeAll(stored, nil)
	if err != nil {
		return nil, fmt.Errorf("segment %d: %w", l.N, err)
	}
	s, err := openSegment(b)
	if err != nil {
		return nil, fmt.Errorf("segment %d: %w", l.N, err)
	}
	if int64(len(b)) != l.Bytes || s.check.number != l.N || s.first.Seq != l.Seq {
		return nil, fmt.Errorf("segment %d is not the one the chain names", l.N)
	}
	return s, nil
}
