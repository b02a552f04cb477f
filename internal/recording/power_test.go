package recording_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
)

// TestAfterPowerLoss takes away what a power cut may take: lines of the chain, a segment's bytes, the ring, half a record. The
// journal must open and go on, and the recording must be readable and say that it is incomplete wherever bytes are gone.
func TestAfterPowerLoss(t *testing.T) {
	t.Parallel()
	cutLines := func(n int) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "chain.jsonl"), func(b []byte) []byte {
				lines := strings.SplitAfter(string(b), "\n")
				return []byte(strings.Join(lines[:len(lines)-1-n], ""))
			})
		}
	}
	noRing := func(t *testing.T, dir string) {
		for _, n := range []string{"ring-0", "ring-1", "ring-2", "ring-3"} {
			if err := os.RemoveAll(filepath.Join(dir, n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tc := range map[string]struct {
		take  func(*testing.T, string)
		whole bool // the sender still holds what is missing, so nothing is lost
	}{
		"nothing": {func(*testing.T, string) {}, true},
		"half a line of the chain": {func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "chain.jsonl"), func(b []byte) []byte { return append(b, `{"n":`...) })
		}, true},
		"the ring":                        {noRing, true},
		"lines of the chain and the ring": {func(t *testing.T, dir string) { cutLines(2)(t, dir); noRing(t, dir) }, true},
		"six lines of the chain":          {cutLines(6), false},
		"the end of the last segment": {func(t *testing.T, dir string) {
			noRing(t, dir)
			rewrite(t, filepath.Join(dir, "000000.zst"), func(b []byte) []byte { return b[:len(b)-5] })
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			org, id := sess.NewOrgID(), sess.NewSessionID()
			chunk := likeOutput(30000)
			const n = 100
			d := openDir(t, path)
			j := openJournal(t, d, org, id)
			for i := range uint64(n) {
				appendData(t, j, sess.SideAgent, 1, i*30000, chunk)
			}
			if _, err := j.Close(false); err != nil {
				t.Fatal(err)
			}
			tc.take(t, filepath.Join(path, string(org), string(id)))

			j = openJournal(t, d, org, id)
			at, _ := j.End(sess.SideAgent, wireID(1))
			if at > n*30000 || at%30000 != 0 {
				t.Fatalf("End = %d, written were %d", at, n*30000)
			}
			for ; at < (n+5)*30000; at += 30000 {
				appendData(t, j, sess.SideAgent, 1, at, chunk)
			}
			want := sess.RecordingComplete
			if !tc.whole {
				want = sess.RecordingIncomplete
			}
			sum, err := j.Close(true)
			if err != nil || sum.State != want {
				t.Errorf("Close = %+v, %v, want %s", sum, err, want)
			}
			rep, err := recording.Verify(path, org, id)
			if err != nil || rep.State != want {
				t.Errorf("Verify = %+v, %v, want %s", rep, err, want)
			}
			got := collect(t, openReader(t, path, org, id))["agent/1"]
			if tc.whole {
				wantBytes(t, "read", got, bytes.Repeat(chunk, n+5))
			} else if len(got) < n/2*30000 {
				t.Errorf("only %d bytes are left to read", len(got))
			}
		})
	}
}

func rewrite(t *testing.T, file string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, f(b), 0o600); err != nil {
		t.Fatal(err)
	}
}
