package recording

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/sessctl/sess/internal/sess"
)

// ContentType is the media type of a recording on its way.
const ContentType = "application/vnd.sess.recording"

// streamMagic begins a recording on its way.
const streamMagic = "sessrec1"

// The blocks of the stream: type u8, length u32, bytes.
const (
	blockMeta    = 'M' // meta.json
	blockLink    = 'L' // a line of the chain
	blockStored  = 'Z' // the segment of the link before, as stored
	blockMissing = 'X' // instead of Z: why it can't be read
	blockRing    = 'J' // a segment that is in no chain yet: its records, uncompressed
	blockSealed  = 'K' // the same of an encrypted recording: compressed and encrypted, as segments are stored
	blockEnd     = 'E' // JSON streamEnd
)

// blockLimits bounds the blocks, in bytes.
func blockLimit(kind byte) int {
	switch kind {
	case blockMeta:
		return maxMeta
	case blockLink, blockMissing, blockEnd:
		return 4 << 10
	case blockStored, blockSealed:
		return maxSegmentSealed
	case blockRing:
		return MaxSegmentBytes
	default:
		return 0
	}
}

// StreamReader takes in what WriteTo sent, from anywhere: nothing in it is trusted, everything is bounded, and a segment
// that doesn't match its digest is left out and reported. It is for one goroutine.
type StreamReader struct {
	r     *bufio.Reader
	meta  Meta
	chain chain
	open  *opener
	cur   *segment
	want  *link // the link whose segment must come next
	watch watcher
	apart bool // cur is in no chain
	given given
	err   error // sticky
	buf   []byte
}

var errStream = errors.New("malformed recording")

// NewStreamReader reads the head of the stream. Close the StreamReader when done; r stays the caller's. Without an identity
// that reads it, an encrypted recording gives no records, and everything is checked that can be without; see Meta.Sealed.
func NewStreamReader(r io.Reader, ids ...Identity) (*StreamReader, error) {
	s := &StreamReader{r: bufio.NewReaderSize(r, 64<<10)}
	var magic [len(streamMagic)]byte
	if _, err := io.ReadFull(s.r, magic[:]); err != nil {
		return nil, fmt.Errorf("read recording: %w", cut(err))
	}
	if string(magic[:]) != streamMagic {
		return nil, fmt.Errorf("%w: it does not begin with %q", errStream, streamMagic)
	}
	kind, b, err := s.block()
	if err != nil {
		return nil, err
	}
	if kind != blockMeta {
		return nil, fmt.Errorf("%w: it has no description", errStream)
	}
	if s.meta, err = decodeMeta(b); err != nil {
		return nil, err
	}
	s.chain.head, s.chain.sealed = digest(b), s.meta.Sealed()
	if s.open, err = newOpener(&s.meta, Readable(s.meta.Recipients, ids)); err != nil {
		return nil, err
	}
	return s, nil
}

// Close frees what the reader holds.
func (s *StreamReader) Close() error {
	s.open.close()
	return nil
}

// Meta describes the session.
func (s *StreamReader) Meta() Meta { return s.meta }

// Report tells what has been read so far; behind io.EOF that is the whole recording.
func (s *StreamReader) Report() Report { return s.watch.report(&s.chain) }

// Next gives the next record, io.EOF behind the last. A stream that was cut off is io.ErrUnexpectedEOF.
func (s *StreamReader) Next() (Record, error) {
	for s.err == nil {
		if s.cur != nil {
			rec, err := s.cur.next()
			if err != nil {
				s.cur = nil
				continue
			}
			fresh := rec.Seq >= s.watch.seq
			s.given.take(&rec, fresh, !s.apart)
			if fresh {
				s.watch.see(&rec)
				return rec, nil
			}
			continue
		}
		s.err = s.advance()
	}
	return Record{}, s.err
}

// advance takes in one block.
func (s *StreamReader) advance() error {
	kind, b, err := s.block()
	if err != nil {
		return err
	}
	if want := s.want != nil; want != (kind == blockStored || kind == blockMissing) {
		return fmt.Errorf("%w: block %q is out of place", errStream, kind)
	}
	s.apart = kind != blockStored
	switch kind {
	case blockLink:
		if s.chain.add(append([]byte(nil), b...)); s.chain.ended == nil {
			l := s.chain.links[len(s.chain.links)-1]
			if l.File != "" {
				s.want = &l
			}
		}
		s.chain.forgetLines()
	case blockStored:
		l := s.want
		s.want = nil
		switch s.cur, err = s.open.open(b, l); {
		case errors.Is(err, errSealed):
			s.watch.pass(l)
		case err != nil:
			s.watch.damaged(err)
		}
	case blockMissing:
		s.watch.damaged(fmt.Errorf("segment %d can't be read at the server: %.200q", s.want.N, b))
		s.want = nil
	case blockRing:
		if s.open.sealed {
			return fmt.Errorf("%w: a part of an encrypted recording is not encrypted", errStream)
		}
		s.written(b)
	case blockSealed:
		s.writtenSealed(b)
	case blockEnd:
		var e streamEnd
		_ = json.Unmarshal(b, &e) // what is none says nothing
		switch {
		case s.chain.ended != nil:
			if !s.given.same() {
				s.watch.problem("what was sent ahead of the chain is not what the chain has: it is not of this recording")
			}
			s.watch.end(&s.chain)
		case e.State == sess.RecordingComplete || e.State == sess.RecordingIncomplete:
			s.watch.noEnd()
		}
		return io.EOF
	}
	return nil
}

// written takes in what is being written still.
func (s *StreamReader) written(b []byte) {
	var err error
	if s.cur, err = openSegment(b); err != nil {
		s.watch.damaged(errors.New("the part that is being written is damaged"))
	}
}

// writtenSealed is written for an encrypted recording.
func (s *StreamReader) writtenSealed(b []byte) {
	if len(s.open.ids) == 0 {
		s.watch.sealed++
		return
	}
	b, err := s.open.unpack(b, 0)
	if err != nil {
		s.watch.damaged(fmt.Errorf("the part that is being written: %w", err))
		return
	}
	s.written(b)
}

// block reads one block; its bytes are valid until the next.
func (s *StreamReader) block() (byte, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return 0, nil, fmt.Errorf("read recording: %w", cut(err))
	}
	n := binary.BigEndian.Uint32(head[1:])
	limit := blockLimit(head[0])
	if limit == 0 || int64(n) > int64(limit) {
		return 0, nil, fmt.Errorf("%w: block %q of %d bytes", errStream, head[0], n)
	}
	b, err := readN(s.r, int(n), s.buf)
	if err != nil {
		return 0, nil, fmt.Errorf("read recording: %w", cut(err))
	}
	s.buf = b
	return head[0], b, nil
}

// readN reads n bytes, taking memory only as they come.
func readN(r io.Reader, n int, into []byte) ([]byte, error) {
	const step = 1 << 20
	b := into[:0]
	for len(b) < n {
		k := min(step, n-len(b))
		if cap(b)-len(b) < k {
			b = append(b, make([]byte, k)...)[:len(b)]
		}
		m, err := io.ReadFull(r, b[len(b):len(b)+k])
		b = b[:len(b)+m]
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

// cut makes the end of the input an unexpected one: the stream says itself where it ends.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
