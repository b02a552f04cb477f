package recording

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// segmentFiles are the files the compressor writes.
type segmentFiles struct {
	chain *os.File // chain.jsonl
	data  *os.File // NNNNNN.zst
	name  string   // of data
	at    int64    // end of data
}

// scratch holds a segment on its way through the compressor.
type scratch struct{ raw, stored, sealed []byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }} //nolint:gochecknoglobals // a pool has no state

// kick starts the compressor if there is work and none runs. mu is held.
func (j *Journal) kick() {
	if len(j.queue) > 0 && !j.flushing && j.failed == nil {
		j.flushing = true
		j.dir.wg.Go(j.flushAll)
	}
}

// flushAll turns waiting ring files into segments until none waits or one fails.
func (j *Journal) flushAll() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.queue) > 0 && j.failed == nil {
		s := j.queue[0]
		j.mu.Unlock()
		err := j.flush(s)
		j.mu.Lock()
		if err != nil {
			j.failed = fmt.Errorf("record session %s: %w", j.meta.Session, err)
		} else {
			j.queue = j.queue[1:]
			s.busy = false
		}
		if !j.dirty {
			j.dirty = true
			j.dir.wantSync(j)
		}
		j.progress.Broadcast()
	}
	j.flushing = false
	j.progress.Broadcast()
}

// flush compresses one ring file into a segment and adds it to the chain. Only then may the file be written over. There
// is no fsync here: it follows within Options.SyncEvery, as for the ring itself, so that no disk's latency limits speed.
func (j *Journal) flush(s *slot) error {
	j.dir.compress <- struct{}{}
	defer func() { <-j.dir.compress }()
	if j.keepsNothing() && !j.keepsScreen() {
		return nil
	}
	b := scratches.Get().(*scratch)
	defer scratches.Put(b)
	b.raw = grow(b.raw, s.used)
	if _, err := s.f.ReadAt(b.raw, 0); err != nil {
		return err
	}
	if j.keepsScreen() {
		j.keepScreen(b.raw)
	}
	if j.keepsNothing() {
		return nil
	}
	b.stored = j.dir.store(b.stored[:0], b.raw)
	stored := b.stored
	if j.meta.Sealed() {
		var err error
		if b.sealed, err = seal(b.sealed[:0], b.stored, j.to); err != nil {
			return err
		}
		stored = b.sealed
	}
	if err := j.openSegment(s.number); err != nil {
		return err
	}
	if _, err := j.seg.data.WriteAt(stored, j.seg.at); err != nil {
		return err
	}
	l := link{
		N: s.number, File: j.seg.name, At: j.seg.at, Size: int64(len(stored)), SHA256: digest(stored),
		Bytes: int64(s.used), Seq: s.seq, Records: s.records, Time: s.time,
	}
	if err := j.addLink(&l); err != nil {
		return err
	}
	j.seg.at += l.Size
	j.lookBehind(s.number)
	return nil
}

// openSegment makes j.seg ready for segment n.
func (j *Journal) openSegment(n uint64) error {
	name, at := segmentFile(n, j.meta.Sealed()), int64(0)
	if j.seg.data != nil && j.seg.name == name {
		return nil
	}
	if j.seg.data != nil {
		// The last one is complete: it must not wait for a sync that no longer knows it.
		if err := datasync(j.seg.data); err != nil {
			return err
		}
		if err := j.seg.data.Close(); err != nil {
			return err
		}
		j.setData(nil, "", 0)
	}
	if j.chain.file == name {
		at = j.chain.fileEnd
	}
	f, err := os.OpenFile(filepath.Join(j.path, name), os.O_RDWR|os.O_CREATE, filePerm)
	if err != nil {
		return err
	}
	if err := f.Truncate(at); err != nil { // of a segment that a killed writer had not entered into the chain
		_ = f.Close()
		return err
	}
	j.setData(f, name, at)
	return nil
}

func (j *Journal) setData(f *os.File, name string, at int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seg.data, j.seg.name, j.seg.at = f, name, at
	j.named = true
}

// addLink writes one line of the chain.
func (j *Journal) addLink(l *link) error {
	if j.seg.chain == nil {
		f, err := os.OpenFile(filepath.Join(j.path, chainFile), os.O_RDWR|os.O_CREATE, filePerm)
		if err != nil {
			return err
		}
		if err := f.Truncate(j.chain.size); err != nil { // half a line of a killed writer
			_ = f.Close()
			return err
		}
		j.mu.Lock()
		j.seg.chain, j.named = f, true
		j.mu.Unlock()
	}
	l.Prev = j.chain.head
	line, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode %s: %w", chainFile, err)
	}
	if _, err := j.seg.chain.WriteAt(append(line, '\n'), j.chain.size); err != nil {
		_ = j.seg.chain.Truncate(j.chain.size)
		return err
	}
	j.chain.note(l, line)
	return nil
}
