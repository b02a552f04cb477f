package recording

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// RecordKind says what a record holds.
type RecordKind uint8

// The kinds of record.
const (
	KindFrame      RecordKind = 1 // a data or ctl frame; payload as it passed
	KindCheckpoint RecordKind = 2 // begins each segment: where every stream stands
	KindRun        RecordKind = 3 // the stream of the header continues at its offset; what lies between is not here
	KindMark       RecordKind = 4 // a Mark, as JSON
	KindHidden     RecordKind = 5 // a data frame of the client's of which only the length is kept
)

// Record is one entry of a recording.
type Record struct {
	Seq    uint64        // counts from 0, without holes
	Time   time.Duration // since Meta.Started, never less than the record before
	Kind   RecordKind
	Side   sess.Side   // who sent the frame; empty on checkpoints and marks
	Header wire.Header // of frames and runs
	// Payload is valid until the next record is asked for.
	Payload []byte
}

// hiddenBytes is the size of what stands for a payload that is not kept: its length.
const hiddenBytes = 4

// end gives the offset behind a frame.
func (r *Record) end() uint64 {
	if r.Kind != KindHidden {
		return wire.Span(r.Header, r.Payload)
	}
	end := r.Header.Offset + uint64(binary.BigEndian.Uint32(r.Payload))
	if r.Header.FIN() {
		end++
	}
	return end
}

// Records is a source of records in order: a Reader, a StreamReader, or a list in a test.
type Records interface {
	// Meta describes the session.
	Meta() Meta
	// Next gives the next record, or io.EOF behind the last.
	Next() (Record, error)
}

// Sizes of records, in bytes.
const (
	recordHead  = 40
	maxFrame    = recordHead + wire.MaxPayload
	maxMark     = 16 << 10             // JSON of a mark
	maxRecord   = recordHead + 128<<10 // a checkpoint of maxStreams streams is the largest
	maxTimeMask = 1<<48 - 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errNoRecord says that the bytes at hand hold no valid record here: the end of what was written, or damage.
var errNoRecord = errors.New("no valid record")

const (
	sideNone   = 0
	sideClient = 1
	sideAgent  = 2
)

func sideCode(s sess.Side) uint8 {
	switch s {
	case sess.SideClient:
		return sideClient
	case sess.SideAgent:
		return sideAgent
	default:
		return sideNone
	}
}

func codeSide(c uint8) sess.Side {
	switch c {
	case sideClient:
		return sess.SideClient
	case sideAgent:
		return sess.SideAgent
	default:
		return ""
	}
}

// putRecord writes the record's head in front of the payload that already lies in b[recordHead:]. salt seeds the CRC.
func putRecord(b []byte, salt uint32, r *Record) {
	binary.BigEndian.PutUint32(b[4:], uint32(len(b)-recordHead)) //nolint:gosec // bounded by maxRecord
	binary.BigEndian.PutUint64(b[8:], r.Seq)
	t := uint64(max(r.Time/time.Microsecond, 0)) & maxTimeMask
	binary.BigEndian.PutUint64(b[16:], uint64(r.Kind)<<56|uint64(sideCode(r.Side))<<48|t)
	r.Header.Put(b[24:])
	binary.BigEndian.PutUint32(b, crc32.Update(salt, castagnoli, b[4:]))
}

// parseRecord reads the record at the start of b and gives its length. The payload is a part of b. Anything that is not
// exactly what putRecord writes under the same salt is errNoRecord.
func parseRecord(b []byte, salt uint32) (Record, int, error) {
	if len(b) < recordHead {
		return Record{}, 0, errNoRecord
	}
	n := binary.BigEndian.Uint32(b[4:])
	if n > maxRecord-recordHead || int(n) > len(b)-recordHead {
		return Record{}, 0, errNoRecord
	}
	size := recordHead + int(n)
	if binary.BigEndian.Uint32(b) != crc32.Update(salt, castagnoli, b[4:size]) {
		return Record{}, 0, errNoRecord
	}
	v := binary.BigEndian.Uint64(b[16:])
	r := Record{
		Seq:  binary.BigEndian.Uint64(b[8:]),
		Time: time.Duration(v&maxTimeMask) * time.Microsecond,
		Kind: RecordKind(v >> 56),
		Side: codeSide(uint8(v >> 48)), //nolint:gosec // one byte is meant
		Header: wire.Header{
			Type:        wire.Type(b[24]),
			Flags:       b[25],
			Participant: binary.BigEndian.Uint16(b[26:]),
			Channel:     binary.BigEndian.Uint32(b[28:]),
			Offset:      binary.BigEndian.Uint64(b[32:]),
		},
		Payload: b[recordHead:size:size],
	}
	if uint8(v>>48) > sideAgent || !r.valid() { //nolint:gosec // one byte is meant
		return Record{}, 0, errNoRecord
	}
	return r, size, nil
}

// valid reports whether the record is one that a Journal writes.
func (r *Record) valid() bool {
	switch r.Kind {
	case KindFrame:
		return r.Side != "" && recordable(r.Header, r.Payload) == nil
	case KindRun:
		return r.Side != "" && r.Header.Offset < wire.MaxOffset && len(r.Payload) == 0
	case KindCheckpoint:
		return r.Side == ""
	case KindMark:
		return r.Side == "" && len(r.Payload) <= maxMark
	case KindHidden:
		return r.Side == sess.SideClient && r.Header.Type == wire.Data && len(r.Payload) == hiddenBytes &&
			binary.BigEndian.Uint32(r.Payload) <= wire.MaxPayload && r.Header.Offset <= wire.MaxOffset-wire.MaxFrame
	default:
		return false
	}
}

// segment walks the records of one ring file or one uncompressed segment: a checkpoint, then records in sequence.
type segment struct {
	all   []byte
	rest  []byte
	check checkpoint
	seq   uint64 // of the next record
	used  int    // bytes of valid records so far, the checkpoint included
	first Record // the checkpoint's record, given out by next once
	begun bool
}

// openSegment reads the checkpoint at the start of b.
func openSegment(b []byte) (*segment, error) {
	r, n, err := parseRecord(b, 0)
	if err != nil || r.Kind != KindCheckpoint {
		return nil, errNoRecord
	}
	c, err := decodeCheckpoint(r.Payload)
	if err != nil {
		return nil, err
	}
	return &segment{all: b, rest: b[n:], check: c, seq: r.Seq + 1, used: n, first: r}, nil
}

// next gives the next record, io.EOF behind the last valid one.
func (s *segment) next() (Record, error) {
	if !s.begun {
		s.begun = true
		return s.first, nil
	}
	r, n, err := parseRecord(s.rest, s.check.salt)
	if err != nil || r.Seq != s.seq || r.Kind == KindCheckpoint {
		return Record{}, io.EOF
	}
	s.rest, s.used, s.seq = s.rest[n:], s.used+n, s.seq+1
	return r, nil
}

// skip walks to the end of the valid records and applies them to the checkpoint, which then tells where all streams
// stand behind the segment. It gives the time of the last record.
func (s *segment) skip() (last time.Duration) {
	for {
		r, err := s.next()
		if err != nil {
			return last
		}
		last = r.Time
		s.check.apply(&r)
	}
}
