package recording

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/sessctl/sess/internal/sess"
)

// Summary is what is known of a recording when it is closed.
type Summary struct {
	Bytes    int64               // records as written, before compression
	Stored   int64               // bytes on disk, segments only
	Records  uint64              //
	Client   uint64              // payload bytes from the client
	Agent    uint64              // payload bytes from the agent
	Moved    sess.Traffic        // bytes that passed, by stream
	Duration int64               // milliseconds from the start to the last record
	Digest   string              // hex SHA-256 that stands for the whole recording; empty until final
	State    sess.RecordingState // recording until final
	Problem  string              // what is missing; empty: nothing
}

// Close ends the writing of a journal. With final the session is over: everything becomes segments, the chain gets its
// end, and the ring is removed. Otherwise everything is brought to disk and Open goes on later. Appends in other
// goroutines get ErrClosed. After an error the recording can be opened again and loses nothing.
func (j *Journal) Close(final bool) (Summary, error) {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return Summary{}, ErrClosed
	}
	j.failed = nil
	if j.missed != nil {
		if err := j.heal(recordHead); err != nil {
			j.missed.why = err
		}
		j.failed = nil
	}
	j.closed, j.final = true, final
	if final && j.cur != nil {
		j.seal()
	}
	j.kick()
	j.progress.Broadcast()
	for j.flushing {
		j.progress.Wait()
	}
	err := j.failed
	if err == nil && j.missed != nil {
		err = j.missed.why
	}
	j.mu.Unlock()

	defer j.dir.forget(j.meta.Session)
	j.syncing.Lock()
	defer j.syncing.Unlock()
	if err == nil && final {
		err = j.addEnd()
	}
	if err == nil {
		err = j.sync()
	}
	if err == nil && final {
		err = j.removeRing()
	}
	j.remember(err)
	sum := j.summary(final && err == nil)
	return sum, errors.Join(err, j.closeFiles())
}

func (j *Journal) summary(final bool) Summary {
	s := Summary{
		Bytes: j.chain.bytes, Stored: j.chain.stored, Records: j.seq, Client: j.at.client, Agent: j.at.agent, Moved: j.at.moved,
		Duration: j.last.Milliseconds(), State: sess.RecordingActive, Problem: j.why,
	}
	if j.cur != nil {
		s.Bytes += int64(j.off)
	}
	if final {
		s.Digest, s.State = j.chain.head, j.endState()
	}
	return s
}

// remember keeps what is missing from a recording that could not be closed, for the next try: nothing on disk says it yet.
func (j *Journal) remember(err error) {
	if err == nil {
		j.dir.noteGap(j.meta.Session, nil)
		return
	}
	if j.missed != nil && j.why == "" {
		j.why = "what could not be written is missing: " + reason(err)
	}
	j.dir.noteGap(j.meta.Session, &unclosed{why: j.why, meta: j.meta})
}

func (j *Journal) endState() sess.RecordingState {
	if j.keepsNothing() {
		return sess.RecordingOff
	}
	if j.at.gapped || j.why != "" {
		return sess.RecordingIncomplete
	}
	return sess.RecordingComplete
}

func (j *Journal) addEnd() error {
	why := j.why
	if j.keepsNothing() {
		why = ""
	}
	if j.at.gapped && why == "" && !j.keepsNothing() {
		why = "bytes are missing"
	}
	moved := j.at.moved
	l := link{
		N: j.chain.next, Bytes: j.chain.bytes, Seq: j.seq, Time: j.last.Microseconds(),
		End: j.endState(), Stored: j.chain.stored, Client: j.at.client, Agent: j.at.agent, Moved: &moved, Why: why,
	}
	if err := j.addLink(&l); err != nil {
		return fmt.Errorf("end recording of session %s: %w", j.meta.Session, err)
	}
	return nil
}

func (j *Journal) removeRing() error {
	for i := range ringFiles {
		if err := removeIfThere(filepath.Join(j.path, ringName(i))); err != nil {
			return fmt.Errorf("end recording of session %s: %w", j.meta.Session, err)
		}
	}
	for _, name := range []string{screenFile, screenFile + newSuffix} {
		if err := removeIfThere(filepath.Join(j.path, name)); err != nil {
			return fmt.Errorf("end recording of session %s: %w", j.meta.Session, err)
		}
	}
	if !j.ringAlone() {
		return nil
	}
	// What nobody is to read must not come back with the power.
	if err := syncNames(j.path); err != nil {
		return fmt.Errorf("end recording of session %s: %w", j.meta.Session, err)
	}
	return nil
}

func (j *Journal) closeFiles() error {
	var errs []error
	for i := range j.ring {
		if f := j.ring[i].f; f != nil {
			errs = append(errs, f.Close())
		}
	}
	if j.seg.data != nil {
		errs = append(errs, j.seg.data.Close())
	}
	if j.seg.chain != nil {
		errs = append(errs, j.seg.chain.Close())
	}
	return errors.Join(errs...)
}
