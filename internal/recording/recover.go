package recording

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// openJournal opens what lies in dir or begins it.
func (d *Dir) openJournal(dir string, meta Meta) (*Journal, error) {
	m, raw, err := readMeta(dir, meta.Org, meta.Session)
	j := &Journal{dir: d, path: dir}
	j.progress = sync.NewCond(&j.mu)
	for i := range j.ring {
		j.ring[i].index = i
	}
	if notExist(err) {
		if u := d.gapOf(meta.Session); u.meta.Session != "" {
			meta = u.meta
		}
		if meta.Started.IsZero() {
			meta.Started = d.opts.Now()
		}
		if m, raw, err = d.create(dir, meta); err != nil {
			return j, j.withoutDisk(meta, err)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := j.describe(m); err != nil {
		return nil, err
	}
	if j.chain, err = readChain(dir, &m, raw); err != nil {
		return nil, err
	}
	if j.chain.ended != nil {
		// Its writer may have died before it took the ring away.
		if err := j.removeRing(); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("session %s: %w", m.Session, ErrFinal)
	}
	j.why = j.chain.problem
	if why := d.gapOf(m.Session).why; j.why == "" {
		j.why = why
	}
	j.at = checkpoint{streams: make(map[streamKey]uint64)}
	if err := j.recover(); err != nil {
		_ = j.closeFiles()
		return nil, fmt.Errorf("recover recording of session %s: %w", m.Session, err)
	}
	j.chain.forgetLines()
	return j, nil
}

// describe has the journal be of the recording that m describes.
func (j *Journal) describe(m Meta) (err error) {
	j.meta = m
	if j.to, err = parseRecipients(m.Recipients); err != nil {
		return fmt.Errorf("record session %s: %w", m.Session, err)
	}
	return nil
}

// withoutDisk begins a recording in memory whose description could not be written, because of err.
func (j *Journal) withoutDisk(m Meta, err error) error {
	if err := j.describe(m); err != nil {
		return err
	}
	j.chain, j.at = &chain{sealed: m.Sealed()}, checkpoint{streams: make(map[streamKey]uint64)}
	return j.lose(err)
}

func (d *Dir) create(dir string, meta Meta) (Meta, []byte, error) {
	if err := os.MkdirAll(dir, dirPerm); err != nil {
		return meta, nil, fmt.Errorf("begin recording: %w", err)
	}
	raw, err := writeMeta(dir, meta)
	return meta, raw, err
}

// found is a ring file that holds a segment which is in no chain yet.
type found struct {
	slot *slot
	seg  *segment
}

// recover finds where the recording stands: behind the last whole record of the ring, or of the last segment where the
// ring holds nothing newer.
func (j *Journal) recover() error {
	live, old, err := j.scanRing(j.chain.next)
	if err != nil {
		return err
	}
	if len(live) == 0 {
		return j.recoverFromSegment(old)
	}
	if n := live[0].seg.check.number; n != j.chain.next && !j.keepsNothing() {
		j.lost(j.chain.next, n)
	}
	for i := range live {
		if i > 0 && live[i].seg.first.Seq != j.seq && !j.keepsNothing() {
			j.lost(live[i-1].seg.check.number, live[i].seg.check.number)
		}
		j.takeFound(&live[i], i == len(live)-1)
	}
	// Bytes behind the last record were never acknowledged. They must go: a shorter record in their place could make the
	// inside of a payload look like a record.
	if err := j.cur.f.Truncate(int64(j.off)); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kick()
	return nil
}

// lost notes that records of the segments from, from+1, … up to to are gone. Only a power cut or a broken disk does it.
func (j *Journal) lost(from, to uint64) {
	j.miss(fmt.Sprintf("records of segment %d up to %d", from, to))
}

// scanRing reads the ring files and gives those that are not in the chain yet, in order, and those that are.
func (j *Journal) scanRing(next uint64) (live, old []found, err error) {
	for i := range j.ring {
		s := &j.ring[i]
		path := filepath.Join(j.path, ringName(i))
		b, err := readBounded(path, MaxSegmentBytes)
		if notExist(err) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if s.f, err = os.OpenFile(path, os.O_RDWR, filePerm); err != nil {
			return nil, nil, err
		}
		seg, err := openSegment(b)
		if err != nil {
			continue // never begun
		}
		s.number, s.seq = seg.check.number, seg.first.Seq
		if s.number < next {
			old = append(old, found{slot: s, seg: seg})
			continue
		}
		live = append(live, found{slot: s, seg: seg})
	}
	slices.SortFunc(live, func(a, b found) int { return cmp.Compare(a.seg.check.number, b.seg.check.number) })
	return live, old, nil
}

// takeFound moves the journal behind what f holds. The last file is written on, the others go to the compressor.
func (j *Journal) takeFound(f *found, last bool) {
	f.seg.begun = true
	gapped, first := j.at.gapped, f.seg.first
	j.last = max(j.last, first.Time, f.seg.skip())
	j.at, j.seq = f.seg.check, f.seg.seq
	j.at.gapped = j.at.gapped || gapped
	s := f.slot
	s.busy, s.number, s.seq = true, j.at.number, first.Seq
	s.used, s.records, s.time = f.seg.used, j.seq-s.seq, j.last.Microseconds()
	j.at.number++
	if last {
		j.cur, j.off, j.salt = s, f.seg.used, f.seg.check.salt
	} else {
		j.queue = append(j.queue, s)
	}
}

// recoverFromSegment is for a journal whose ring holds nothing new: nothing was ever recorded, or the last ring file
// became a segment and its writer died before it began the next. Then that file still holds it, if it is not to be read otherwise.
func (j *Journal) recoverFromSegment(old []found) error {
	segs := j.chain.segments()
	if len(segs) == 0 {
		return nil
	}
	o, err := newOpener(&j.meta, nil)
	if err != nil {
		return err
	}
	defer o.close()
	for i := len(segs) - 1; i >= 0; i-- {
		s, err := o.load(j.path, &segs[i])
		if k := slices.IndexFunc(old, func(f found) bool { return f.seg.first.Seq == segs[i].Seq }); errors.Is(err, errSealed) && k >= 0 {
			s, err = old[k].seg, nil
		}
		if err != nil {
			j.miss(fmt.Sprintf("records of segment %d", segs[i].N))
			continue
		}
		gapped := j.at.gapped
		s.begun = true
		j.last = max(s.first.Time, s.skip())
		j.at, j.seq = s.check, s.seq
		j.at.gapped = j.at.gapped || gapped
		break
	}
	end := segs[len(segs)-1]
	j.seq = max(j.seq, end.Seq+end.Records)
	j.at.number = j.chain.next
	return nil
}
