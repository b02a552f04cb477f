package recording_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

func openDir(t testing.TB, path string) *recording.Dir {
	t.Helper()
	d, err := recording.OpenDir(path, recording.Options{SegmentBytes: recording.MinSegmentBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func openJournal(t testing.TB, d *recording.Dir, org sess.OrgID, id sess.SessionID) *recording.Journal {
	t.Helper()
	j, err := d.Open(org, id, recording.Meta{Kind: sess.KindExec, Started: time.Now().UTC()})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func data(channel uint32, offset uint64) wire.Header {
	return wire.Header{Type: wire.Data, Channel: channel, Offset: offset}
}

func appendData(t testing.TB, j *recording.Journal, side sess.Side, channel uint32, offset uint64, p []byte) {
	t.Helper()
	if err := j.Append(side, data(channel, offset), p); err != nil {
		t.Fatalf("Append(%s, %d, %d bytes at %d): %v", side, channel, len(p), offset, err)
	}
}

func wantEnd(t testing.TB, j *recording.Journal, side sess.Side, channel uint32, want uint64) {
	t.Helper()
	if got, known := j.End(side, wire.StreamID{Channel: channel}); got != want || !known {
		t.Errorf("End(%s, %d) = %d, %v, want %d", side, channel, got, known, want)
	}
}

func TestJournalRecordsOnlyWhatIsNew(t *testing.T) {
	d := openDir(t, t.TempDir())
	org, id := sess.NewOrgID(), sess.NewSessionID()
	j := openJournal(t, d, org, id)
	if _, known := j.End(sess.SideAgent, wire.StreamID{Channel: 1}); known {
		t.Error("End of a stream never seen is known")
	}
	appendData(t, j, sess.SideAgent, 1, 0, []byte("hello"))
	appendData(t, j, sess.SideAgent, 1, 0, []byte("hello"))
	appendData(t, j, sess.SideAgent, 1, 2, []byte("llo world"))
	wantEnd(t, j, sess.SideAgent, 1, 11)
	if err := j.Append(sess.SideAgent, data(1, 12), []byte("x")); !errors.Is(err, recording.ErrGap) {
		t.Errorf("Append above the end = %v, want ErrGap", err)
	}
	if err := j.StartRun(sess.SideAgent, wire.StreamID{Channel: 1}, 12); err != nil {
		t.Fatal(err)
	}
	appendData(t, j, sess.SideAgent, 1, 12, []byte("x"))
	if err := j.Append(sess.SideAgent, wire.Header{Type: wire.Beat}, nil); !errors.Is(err, recording.ErrFrame) {
		t.Errorf("Append of a beat = %v, want ErrFrame", err)
	}
	sum, err := j.Close(true)
	if err != nil || sum.State != sess.RecordingIncomplete || sum.Agent != 12 {
		t.Errorf("Close = %+v, %v, want incomplete with 12 bytes", sum, err)
	}
	if _, err := d.Open(org, id, recording.Meta{}); !errors.Is(err, recording.ErrFinal) {
		t.Errorf("Open of an ended recording = %v, want ErrFinal", err)
	}
}

func TestJournalGoesOnAfterClose(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, path)
	org, id := sess.NewOrgID(), sess.NewSessionID()
	chunk := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	var at uint64
	for range 3 {
		j := openJournal(t, d, org, id)
		if at > 0 {
			wantEnd(t, j, sess.SideAgent, 1, at)
		}
		if _, err := d.Open(org, id, recording.Meta{}); !errors.Is(err, recording.ErrInUse) {
			t.Errorf("Open while open = %v, want ErrInUse", err)
		}
		for range 100 {
			appendData(t, j, sess.SideAgent, 1, at, chunk)
			at += uint64(len(chunk))
		}
		if _, err := j.Close(false); err != nil {
			t.Fatal(err)
		}
	}
	j := openJournal(t, d, org, id)
	wantEnd(t, j, sess.SideAgent, 1, at)
	sum, err := j.Close(true)
	if err != nil || sum.State != sess.RecordingComplete || sum.Agent != at || len(sum.Digest) != 64 {
		t.Errorf("Close = %+v, %v", sum, err)
	}
	if left, _ := filepath.Glob(filepath.Join(path, string(org), string(id), "ring-*")); len(left) != 0 {
		t.Errorf("the ring is still there: %v", left)
	}
}

func wireID(channel uint32) wire.StreamID { return wire.StreamID{Channel: channel} }
