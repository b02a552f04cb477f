package recording

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/sessctl/sess/internal/sess"
)

// streamEnd ends the stream, so that a cut one is never taken for a whole one.
type streamEnd struct {
	State sess.RecordingState `json:"state"` // as the sender knows it
}

// WriteTo sends the whole recording from its beginning to w, in the form a StreamReader takes. Segments go as they are
// stored, so that the other end checks their digests itself. What Next gave before does not matter.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	s := sender{w: w, from: &Reader{path: r.path, meta: r.meta, chain: r.chain, opener: r.opener}, over: r.over}
	err := s.send()
	return s.n, err
}

// sender is one WriteTo.
type sender struct {
	w    io.Writer
	n    int64
	from *Reader
	over bool
	buf  []byte
}

func (s *sender) write(b []byte) error {
	n, err := s.w.Write(b)
	s.n += int64(n)
	return err
}

func (s *sender) block(kind byte, b []byte) error {
	if len(b) > blockLimit(kind) {
		return fmt.Errorf("send recording: block %c of %d bytes", kind, len(b))
	}
	head := [5]byte{kind}
	binary.BigEndian.PutUint32(head[1:], uint32(len(b))) //nolint:gosec // checked
	if err := s.write(head[:]); err != nil {
		return err
	}
	return s.write(b)
}

// maxRounds bounds how often a sender looks for more at the end of a recording that is being written: what comes in
// while it sends need not be sent, and a fast session must not keep it for ever.
const maxRounds = 4 * ringFiles

func (s *sender) send() error {
	r := s.from
	_, raw, err := readMeta(r.path, r.meta.Org, r.meta.Session)
	if err != nil {
		return err
	}
	if err := s.write([]byte(streamMagic)); err != nil {
		return err
	}
	if err := s.block(blockMeta, raw); err != nil {
		return err
	}
	for range maxRounds {
		if err := s.links(); err != nil {
			return err
		}
		sent := r.link
		seg, err := r.find()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if r.link != sent { // the chain grew: links sends what find took
			r.link = sent
			continue
		}
		if err := s.ring(seg); err != nil {
			return err
		}
	}
	state := sess.RecordingActive
	switch {
	case r.chain.ended != nil:
		state = r.chain.ended.End
	case s.over:
		state = sess.RecordingIncomplete
	}
	b, err := json.Marshal(streamEnd{State: state})
	if err != nil {
		return err
	}
	return s.block(blockEnd, b)
}

// links sends the links of the chain that were not sent yet, each with its segment.
func (s *sender) links() error {
	r := s.from
	for ; r.link < len(r.chain.links); r.link++ {
		l := &r.chain.links[r.link]
		if err := s.block(blockLink, r.chain.lines[r.link]); err != nil {
			return err
		}
		if l.End != "" || l.File == "" {
			continue
		}
		b, err := readStored(r.path, l, s.buf)
		if err != nil {
			if err := s.block(blockMissing, []byte(err.Error())[:min(len(err.Error()), 1<<10)]); err != nil {
				return err
			}
			continue
		}
		s.buf = b
		if err := s.block(blockStored, b); err != nil {
			return err
		}
	}
	return nil
}

// ring sends a segment that is in no chain yet, up to its last whole record.
func (s *sender) ring(seg *segment) error {
	whole := seg.all
	seg.begun = true
	seg.skip()
	s.from.watch.seq = seg.seq
	if s.from.meta.Sealed() {
		return s.sealed(whole[:seg.used])
	}
	return s.block(blockRing, whole[:seg.used])
}

// sealed sends it encrypted, as it will be stored: what leaves the server is for the recipients alone.
func (s *sender) sealed(raw []byte) error {
	to, err := parseRecipients(s.from.meta.Recipients)
	if err != nil {
		return err
	}
	b, err := seal(nil, appendRawFrame(nil, raw), to)
	if err != nil {
		return err
	}
	return s.block(blockSealed, b)
}
