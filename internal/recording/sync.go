package recording

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// syncer brings to the disk what journals wrote, all of a Dir in one goroutine that lives only while there is something
// to do.
type syncer struct {
	mu      sync.Mutex // guards what follows
	waiting []*Journal
	running bool
}

// wantSync registers j for the next round. j.mu is held.
func (d *Dir) wantSync(j *Journal) {
	d.syncs.mu.Lock()
	defer d.syncs.mu.Unlock()
	d.syncs.waiting = append(d.syncs.waiting, j)
	if !d.syncs.running {
		d.syncs.running = true
		d.wg.Go(d.syncLoop)
	}
}

func (d *Dir) syncLoop() {
	timer := time.NewTimer(d.opts.SyncEvery)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-d.stop: // every journal was synced by its Close
			return
		}
		d.syncs.mu.Lock()
		js := d.syncs.waiting
		d.syncs.waiting = nil
		if len(js) == 0 {
			d.syncs.running = false
			d.syncs.mu.Unlock()
			return
		}
		d.syncs.mu.Unlock()
		for _, j := range js {
			if err := j.Sync(); err != nil && !errors.Is(err, ErrClosed) {
				j.fail(err)
			}
		}
		timer.Reset(d.opts.SyncEvery)
	}
}

// fail gives err to the next Append.
func (j *Journal) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed == nil {
		j.failed = err
	}
	j.progress.Broadcast()
}

// Sync returns when everything that was appended before the call would survive a power cut.
func (j *Journal) Sync() error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return ErrClosed
	}
	j.mu.Unlock()
	return j.sync()
}

// sync does the work of Sync. syncing is held, so no file is closed meanwhile, but for segment files that the
// compressor finished and synced by itself.
func (j *Journal) sync() error {
	j.mu.Lock()
	j.dirty = false
	var files []*os.File
	for i := range j.ring {
		if s := &j.ring[i]; s.dirty {
			s.dirty = false
			files = append(files, s.f)
		}
	}
	for _, f := range []*os.File{j.seg.data, j.seg.chain} {
		if f != nil {
			files = append(files, f)
		}
	}
	id, named := j.meta.Session, j.named
	j.named = false
	j.mu.Unlock()
	var errs []error
	for _, f := range files {
		if err := datasync(f); err != nil && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if named {
		if err := syncNames(j.path); err != nil {
			errs = append(errs, err)
		}
	}
	return syncError(id, errs)
}

func syncError(id sess.SessionID, errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("bring recording of session %s to disk: %w", id, errors.Join(errs...))
}

// syncNames makes the description and the names of a recording durable.
func syncNames(path string) error {
	for _, name := range []string{filepath.Join(path, metaFile), path, filepath.Dir(path)} {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = f.Sync()
		_ = f.Close() // only read
		if err != nil {
			return err
		}
	}
	return nil
}
