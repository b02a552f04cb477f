package recording_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// block puts a directory where a file should be made, so that making it fails also for root.
func block(t *testing.T, path string) (unblock func()) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAppendFailsAndGoesOn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ring-0", "ring-1", "000000.zst", "chain.jsonl"} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			d := openDir(t, path)
			org, id := sess.NewOrgID(), sess.NewSessionID()
			j, err := d.Open(org, id, recording.Meta{Kind: sess.KindExec, Recording: sess.RecordStrict})
			if err != nil {
				t.Fatal(err)
			}
			unblock := block(t, filepath.Join(path, string(org), string(id), name))
			chunk := likeOutput(30000)
			var at uint64
			failed := 0
			for range 100 {
				if err := j.Append(sess.SideAgent, data(1, at), chunk); err != nil {
					failed++
					if got, _ := j.End(sess.SideAgent, wire.StreamID{Channel: 1}); got != at {
						t.Fatalf("End after a failed append = %d, want %d", got, at)
					}
					if failed == 3 {
						unblock()
					}
					continue
				}
				at += uint64(len(chunk))
			}
			if failed < 3 {
				t.Fatalf("%d appends failed, want at least 3: a blocked file must be noticed", failed)
			}
			if sum, err := j.Close(true); err != nil || sum.State != sess.RecordingComplete {
				t.Fatalf("Close = %+v, %v", sum, err)
			}
			wantBytes(t, "recorded", collect(t, openReader(t, path, org, id))["agent/1"], bytes.Repeat(chunk, int(at)/len(chunk)))
		})
	}
}

func TestCloseThatFailsLosesNothing(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, path)
	org, id := sess.NewOrgID(), sess.NewSessionID()
	j := openJournal(t, d, org, id)
	appendData(t, j, sess.SideAgent, 1, 0, []byte("all of it"))
	unblock := block(t, filepath.Join(path, string(org), string(id), "000000.zst"))
	if _, err := j.Close(true); err == nil {
		t.Fatal("Close with a blocked segment succeeded")
	}
	unblock()
	j = openJournal(t, d, org, id)
	wantEnd(t, j, sess.SideAgent, 1, 9)
	if sum, err := j.Close(true); err != nil || sum.State != sess.RecordingComplete {
		t.Fatalf("Close = %+v, %v", sum, err)
	}
}

// TestIdleJournalsAreSmall opens many sessions that each typed a little.
func TestIdleJournalsAreSmall(t *testing.T) {
	d, err := recording.OpenDir(t.TempDir(), recording.Options{SyncEvery: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const n = 200
	js := make([]*recording.Journal, n)
	org := sess.NewOrgID()
	var before, after runtime.MemStats
	goroutines := runtime.NumGoroutine()
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range js {
		js[i] = openJournal(t, d, org, sess.NewSessionID())
		appendData(t, js[i], sess.SideClient, 1, 0, []byte("ls\r"))
		appendData(t, js[i], sess.SideAgent, 1, 0, []byte("some output\r\n"))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := int64(after.HeapAlloc-before.HeapAlloc) / n; per > 8<<10 {
		t.Errorf("an idle journal takes %d bytes", per)
	} else {
		t.Logf("an idle journal takes %d bytes", per)
	}
	if more := runtime.NumGoroutine() - goroutines; more > 5 {
		t.Errorf("%d goroutines for %d idle journals", more, n)
	}
	runtime.KeepAlive(js)
}

func TestDirCloseLeavesNothingRunning(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	d, err := recording.OpenDir(t.TempDir(), recording.Options{})
	if err != nil {
		t.Fatal(err)
	}
	j := openJournal(t, d, sess.NewOrgID(), sess.NewSessionID())
	for i := range uint64(100) {
		appendData(t, j, sess.SideAgent, 1, i*30000, likeOutput(30000))
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
