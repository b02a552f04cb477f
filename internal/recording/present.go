package recording

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sessctl/sess/internal/sess"
)

// Present is the screen of a terminal session as of one byte of its output.
type Present struct {
	Screen     []byte // brings a terminal of the same size, whatever it shows, to this screen
	Cols, Rows uint16
	Offset     uint64 // everything of the main channel's output below it is in the screen, and nothing behind it
}

// Present gives the present screen of a terminal session: text, colours, cursor, alternate screen, scroll region, modes and
// title. It may be called while the session's journal is written: what is appended later begins at its Offset.
func (d *Dir) Present(org sess.OrgID, id sess.SessionID) (Present, error) {
	r, err := d.OpenReader(org, id)
	if err != nil {
		return Present{}, err
	}
	defer r.Close()
	s := fromRing(r.path, &r.meta)
	if s.gap && r.meta.readable() {
		if s, err = d.fromAll(r); err != nil {
			return Present{}, err
		}
	}
	cols, rows := s.term.Size()
	return Present{
		Screen: s.term.Screen(), Cols: uint16(cols), Rows: uint16(rows), //nolint:gosec // at most vt.MaxCols and vt.MaxRows
		Offset: s.offset,
	}, nil
}

// Screen gives the present screen alone.
func (d *Dir) Screen(org sess.OrgID, id sess.SessionID) ([]byte, error) {
	p, err := d.Present(org, id)
	return p.Screen, err
}

// readable reports whether what left the ring can be read at the server.
func (m *Meta) readable() bool { return !m.Sealed() && m.Recording != sess.RecordOff }

// ScreenBytes is how much of the last records is replayed in full to find the screen in a whole recording; of what lies before
// that only modes, titles and sizes are looked at. Redrawing the largest terminal takes far less.
const ScreenBytes = 4 << 20

// fromAll looks for the screen in the whole recording, or in what came since somebody asked last.
func (d *Dir) fromAll(r *Reader) (*stage, error) {
	d.mu.Lock()
	j := d.open[r.meta.Session]
	d.mu.Unlock()
	var k *keyframe
	if j != nil {
		k = j.shown.Load()
	}
	s := newStage(&r.meta, k)
	s.skim = r.tailSeq(ScreenBytes)
	r.from(s.seq)
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("find the screen: %w", err)
		}
		s.see(&rec)
	}
	if j != nil {
		if k := s.keyframe(); k.screen != nil {
			j.shown.Store(k)
		}
	}
	return s, nil
}

// from has the reader begin at a record.
func (r *Reader) from(seq uint64) {
	segs := r.chain.segments()
	for r.link < len(segs) && segs[r.link].Seq+segs[r.link].Records <= seq {
		r.link++
	}
	r.watch.seq = seq
}

// tailSeq gives the first record of the segments that hold the last n bytes of the chain.
func (r *Reader) tailSeq(n int64) uint64 {
	segs := r.chain.segments()
	for i := len(segs) - 1; i >= 0; i-- {
		if n -= segs[i].Bytes; n <= 0 {
			return segs[i].Seq
		}
	}
	return 0
}

// ringLooks bounds how often the ring is read anew because a keyframe was made meanwhile.
const ringLooks = 16

// fromRing gives the screen by the keyframe and the ring alone. A keyframe that is still the same afterwards says that nothing
// was written over which is not in it. Of a recording that can be read there is none: what lacks a record, be it that a file was
// written over while it was read, is a gap.
func fromRing(path string, m *Meta) *stage {
	for look := 1; ; look++ {
		k := readKeyframe(path)
		s := newStage(m, k)
		follows := false
		for _, seg := range readRing(path, func(int) bool { return true }) {
			if follows && seg.first.Seq > s.seq && !m.readable() {
				break // it was begun after the one before was read
			}
			follows = s.follow(seg) || follows
			if s.gap && m.readable() {
				return s // there is a better way
			}
		}
		if look == ringLooks || k.is(keyframeSeq(path)) {
			return s
		}
	}
}

// is reports whether the keyframe is the one in front of a record; nil is that of 0.
func (k *keyframe) is(seq uint64) bool { return k == nil && seq == 0 || k != nil && k.seq == seq }

// keyframeSeq gives the number of the record in front of which the present keyframe is; 0: there is none.
func keyframeSeq(dir string) uint64 {
	f, err := os.Open(filepath.Join(dir, screenFile))
	if err != nil {
		return 0
	}
	defer f.Close()
	var head [screenHead]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return 0
	}
	return binary.BigEndian.Uint64(head[len(screenMagic)+4:])
}
