package recording_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// clock is a time that a test moves.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// What can't be written is missing, says so, and nothing else is: the session goes on, and so does the recording when there
// is room again.
func TestGoesOnWithoutADisk(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "ring-0", "ring-1", "000000.zst", "chain.jsonl"} {
		t.Run("blocked "+name, func(t *testing.T) {
			path := t.TempDir()
			c := &clock{now: time.Now()}
			d, err := recording.OpenDir(path, recording.Options{SegmentBytes: recording.MinSegmentBytes, SyncEvery: time.Hour, Now: c.Now})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			org, id := sess.NewOrgID(), sess.NewSessionID()
			dir := filepath.Join(path, string(org), string(id))
			var unblock func()
			if name == "" { // not even its description can be written
				unblock = blockMeta(t, dir)
			}
			j := openJournal(t, d, org, id)
			if name != "" {
				unblock = block(t, filepath.Join(dir, name))
			}
			chunk := likeOutput(30000)
			var at uint64
			for i := range 200 {
				if i == 100 {
					unblock()
				}
				if i >= 100 { // what was under way may fail once more
					c.now = c.now.Add(2 * time.Second)
				}
				appendData(t, j, sess.SideAgent, 1, at, chunk)
				appendData(t, j, sess.SideClient, 1, uint64(i), []byte("k"))
				at += uint64(len(chunk))
				if got, _ := j.End(sess.SideAgent, wire.StreamID{Channel: 1}); got != at {
					t.Fatalf("End = %d, want %d", got, at)
				}
			}
			sum, err := j.Close(true)
			if err != nil || sum.State != sess.RecordingIncomplete || !strings.Contains(sum.Problem, "could not be written") {
				t.Fatalf("Close = %+v, %v", sum, err)
			}
			rep, err := d.Verify(org, id)
			if err != nil || rep.State != sess.RecordingIncomplete || rep.Damaged > 0 || rep.Moved != sum.Moved || rep.Moved.Out != int64(at) {
				t.Fatalf("Verify = %+v, %v; moved %+v", rep, err, sum.Moved)
			}
			got := collect(t, openReader(t, path, org, id))["agent/1"]
			if len(got) < 50*len(chunk) || !bytes.HasSuffix(got, chunk) {
				t.Fatalf("%d bytes on record", len(got))
			}
		})
	}
}

// A recording whose end can't be written yet is ended later, and what is missing of it is not forgotten until then.
func TestEndedLater(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path)
	org, id := sess.NewOrgID(), sess.NewSessionID()
	unblock := blockMeta(t, filepath.Join(path, string(org), string(id)))
	j := openJournal(t, d, org, id)
	appendData(t, j, sess.SideAgent, 1, 0, []byte("lost"))
	if sum, err := j.Close(true); err == nil || sum.State != sess.RecordingActive || sum.Problem == "" {
		t.Fatalf("Close = %+v, %v", sum, err)
	}
	unblock()
	j, err := d.Open(org, id, recording.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	if sum, err := j.Close(true); err != nil || sum.State != sess.RecordingIncomplete || sum.Digest == "" {
		t.Fatalf("Close = %+v, %v", sum, err)
	}
	if m := openReader(t, path, org, id).Meta(); m.Kind != sess.KindExec {
		t.Errorf("its description is %+v", m)
	}
	if _, err := d.Open(org, id, recording.Meta{}); !errors.Is(err, recording.ErrFinal) {
		t.Errorf("Open again: %v", err)
	}
}

// Input that is not to be kept leaves its length and nothing else, also in the ring, and the session resumes all the same.
func TestHiddenInput(t *testing.T) {
	t.Parallel()
	for _, mode := range []sess.InputMode{sess.InputOff, sess.InputMasked} {
		path := t.TempDir()
		d := openDir(t, path)
		org, id := sess.NewOrgID(), sess.NewSessionID()
		open := func() *recording.Journal {
			j, err := d.Open(org, id, recording.Meta{Kind: sess.KindShell, Input: mode, Started: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			return j
		}
		j := open()
		h := data(wire.ChannelParams, 0)
		h.Flags = wire.FlagFIN
		if err := j.Append(sess.SideClient, h, []byte(`{"argv":["sh"]}`)); err != nil {
			t.Fatal(err)
		}
		appendData(t, j, sess.SideClient, 1, 0, []byte("hunter2\r"))
		appendData(t, j, sess.SideAgent, 1, 0, []byte("Password: \r\n"))
		if _, err := j.Close(false); err != nil {
			t.Fatal(err)
		}
		j = open()
		if at, _ := j.End(sess.SideClient, wire.StreamID{Channel: 1}); at != 8 {
			t.Fatalf("End = %d", at)
		}
		peer := data(1, 0)
		peer.Participant = 3
		if err := j.Append(sess.SideClient, peer, []byte("swordfish\r")); err != nil {
			t.Fatal(err)
		}
		appendData(t, j, sess.SideClient, 1, 4, []byte("er2\rmore")) // repeated in part
		wantNowhere(t, path, "hunter2", "swordfish")
		sum, err := j.Close(true)
		if err != nil || sum.State != sess.RecordingComplete || sum.Moved.In != 22 {
			t.Fatalf("Close = %+v, %v", sum, err)
		}
		rep, err := d.Verify(org, id)
		if err != nil || rep.State != sess.RecordingComplete || rep.Moved != sum.Moved {
			t.Fatalf("Verify = %+v, %v", rep, err)
		}
		var cast bytes.Buffer
		if err := recording.ExportCast(openReader(t, path, org, id), &cast, recording.CastOptions{Input: true}); err != nil {
			t.Fatal(err)
		}
		if s := cast.String(); strings.Contains(s, "hunter2") || !strings.Contains(s, "Password") {
			t.Errorf("the export says %s", s)
		}
	}
}

// A session that is not recorded leaves nothing of its content behind, and has a bounded ring while it runs.
func TestKeepsNothing(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path)
	org, id := sess.NewOrgID(), sess.NewSessionID()
	open := func() *recording.Journal {
		j, err := d.Open(org, id, recording.Meta{Kind: sess.KindShell, TTY: true, Recording: sess.RecordOff, Started: time.Now(), Cols: 80, Rows: 24})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	j := open()
	var at uint64
	chunk := likeOutput(30000)
	for i := range 300 {
		appendData(t, j, sess.SideAgent, 1, at, chunk)
		at += uint64(len(chunk))
		if i%50 == 49 {
			if _, err := j.Close(false); err != nil {
				t.Fatal(err)
			}
			j = open()
			if got, _ := j.End(sess.SideAgent, wire.StreamID{Channel: 1}); got != at {
				t.Fatalf("End = %d, want %d", got, at)
			}
		}
	}
	appendData(t, j, sess.SideAgent, 1, at, []byte("\x1b[2J\x1b[Hthe screen"))
	var size int64
	for _, e := range entries(t, filepath.Join(path, string(org), string(id))) {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if limit := int64(4 * recording.MaxSegmentBytes); size > limit {
		t.Errorf("%d bytes on disk", size)
	}
	screen, err := d.Screen(org, id)
	if err != nil || !bytes.Contains(screen, []byte("the screen")) {
		t.Errorf("Screen = %q, %v", screen, err)
	}
	sum, err := j.Close(true)
	if err != nil || sum.State != sess.RecordingOff || sum.Digest == "" || sum.Problem != "" || sum.Stored != 0 {
		t.Fatalf("Close = %+v, %v", sum, err)
	}
	wantNowhere(t, path, "the screen", string(chunk[:20]))
	if _, err := d.Open(org, id, recording.Meta{}); !errors.Is(err, recording.ErrFinal) {
		t.Errorf("Open again: %v", err)
	}
	if rep, err := d.Verify(org, id); err != nil || rep.State != sess.RecordingOff || len(rep.Problems) > 0 {
		t.Errorf("Verify = %+v, %v", rep, err)
	}
	if _, err := openReader(t, path, org, id).Next(); !errors.Is(err, io.EOF) {
		t.Errorf("Next = %v", err)
	}
}

func blockMeta(t *testing.T, dir string) (unblock func()) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return block(t, filepath.Join(dir, "meta.json.tmp"))
}

func entries(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return es
}

// wantNowhere looks into every file under dir.
func wantNowhere(t *testing.T, dir string, secrets ...string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, s := range secrets {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("%s holds %q", path, s)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
