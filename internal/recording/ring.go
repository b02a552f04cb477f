package recording

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
)

// ringFiles is how many files of Options.SegmentBytes a journal reuses: one is written, the others wait for the
// compressor or are free. Writing over pages that are in memory already costs a tenth of new ones.
const ringFiles = 4

// slot is one file of the ring.
type slot struct {
	index int
	f     *os.File // nil until first used
	dirty bool     // written since the last sync
	busy  bool     // being written, or waiting for the compressor

	// Of what it holds, once it waits for the compressor:
	number  uint64 // of the segment
	used    int    // bytes
	seq     uint64 // of the checkpoint
	records uint64
	time    int64 // of the last record, µs
}

func ringName(i int) string { return fmt.Sprintf("ring-%d", i) }

// room makes sure that a ring file is open and takes need more bytes: it hands a full one to the compressor and begins
// the next, waiting for one where none is free. mu is held, and let go while waiting.
func (j *Journal) room(need int) error {
	for {
		switch {
		case j.closed:
			return ErrClosed
		case j.failed != nil:
			err := j.failed
			j.failed = nil
			j.kick()
			return err
		case j.cur != nil && j.off+need <= j.dir.opts.SegmentBytes:
			return nil
		case j.cur != nil:
			j.seal()
		default:
			if s := j.free(); s != nil {
				if err := j.begin(s); err != nil {
					return err
				}
				continue
			}
			j.progress.Wait()
		}
	}
}

// free gives a ring file to write into; nil: all are waiting. Where a segment can be read in the ring alone, the oldest one
// goes first.
func (j *Journal) free() *slot {
	var best *slot
	for i := range j.ring {
		s := &j.ring[i]
		switch {
		case s.busy:
		case !j.ringAlone():
			return s
		case best == nil || best.f != nil && (s.f == nil || s.number < best.number):
			best = s
		}
	}
	return best
}

// ringAlone reports whether what left the ring can't be read here any more.
func (j *Journal) ringAlone() bool { return j.keepsNothing() || j.meta.Sealed() }

// seal hands the present ring file to the compressor. mu is held.
func (j *Journal) seal() {
	s := j.cur
	s.used, s.records, s.time = j.off, j.seq-s.seq, j.last.Microseconds()
	j.cur, j.off = nil, 0
	j.queue = append(j.queue, s)
	j.kick()
}

// begin starts the next segment in s with a checkpoint. mu is held.
func (j *Journal) begin(s *slot) error {
	if s.f == nil {
		f, err := os.OpenFile(filepath.Join(j.path, ringName(s.index)), os.O_RDWR|os.O_CREATE, filePerm)
		if err != nil {
			return fmt.Errorf("record session %s: %w", j.meta.Session, err)
		}
		s.f, j.named = f, true
	}
	var salt [4]byte
	_, _ = rand.Read(salt[:]) // never fails
	c := j.at
	if j.missed != nil { // the runs that say what is missing follow
		c.streams = j.missed.written
	}
	c.salt = binary.BigEndian.Uint32(salt[:])
	b := c.append(make([]byte, recordHead, recordHead+64+12*len(c.streams)))
	putRecord(b, 0, &Record{Kind: KindCheckpoint, Seq: j.seq, Time: j.last})
	if err := j.writeAt(s, b, 0); err != nil {
		return err
	}
	s.busy, s.number, s.seq = true, j.at.number, j.seq
	j.at.number++
	j.cur, j.off, j.salt = s, len(b), c.salt
	j.seq++
	return nil
}
