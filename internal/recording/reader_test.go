package recording_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
)

// collect gives the bytes of each stream of a recording, by "side/channel".
func collect(t testing.TB, r recording.Records) map[string][]byte {
	t.Helper()
	got := map[string][]byte{}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		if rec.Kind == recording.KindFrame {
			k := fmt.Sprintf("%s/%d", rec.Side, rec.Header.Channel)
			got[k] = append(got[k], rec.Payload...)
		}
	}
}

func openReader(t testing.TB, path string, org sess.OrgID, id sess.SessionID) *recording.Reader {
	t.Helper()
	r, err := recording.OpenReader(path, org, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// sent gives the recording as a client receives it.
func sent(t testing.TB, r *recording.Reader) *recording.StreamReader {
	t.Helper()
	var b bytes.Buffer
	if _, err := r.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	s, err := recording.NewStreamReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func wantBytes(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		n := 0
		for n < min(len(got), len(want)) && got[n] == want[n] {
			n++
		}
		t.Fatalf("%s: %d bytes, want %d, first difference at %d", what, len(got), len(want), n)
	}
}

func TestReaderFollowsWhileWritten(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path)
	org, id := sess.NewOrgID(), sess.NewSessionID()
	j := openJournal(t, d, org, id)
	r := openReader(t, path, org, id)
	var want, got []byte
	for i := range 200 {
		p := bytes.Repeat([]byte(fmt.Sprintf("%7d\n", i)), 1000)
		appendData(t, j, sess.SideAgent, 1, uint64(len(want)), p)
		want = append(want, p...)
		if i%29 == 0 {
			got = append(got, collect(t, r)["agent/1"]...)
			wantBytes(t, "while written", got, want)
			fresh := openReader(t, path, org, id)
			wantBytes(t, "from the beginning", collect(t, fresh)["agent/1"], want)
			s := sent(t, fresh)
			wantBytes(t, "sent", collect(t, s)["agent/1"], want)
			if rep := s.Report(); rep.State != sess.RecordingActive || len(rep.Problems) > 0 {
				t.Fatalf("Report = %+v", rep)
			}
		}
	}
	sum, err := j.Close(true)
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, collect(t, r)["agent/1"]...)
	wantBytes(t, "after the end", got, want)
	rep, err := recording.Verify(path, org, id)
	if err != nil || rep.State != sess.RecordingComplete || rep.Digest != sum.Digest || rep.Agent != uint64(len(want)) || rep.Segments < 5 {
		t.Errorf("Verify = %+v, %v", rep, err)
	}
	s := sent(t, openReader(t, path, org, id))
	wantBytes(t, "sent after the end", collect(t, s)["agent/1"], want)
	if rep := s.Report(); rep.State != sess.RecordingComplete || rep.Digest != sum.Digest {
		t.Errorf("Report at the client = %+v", rep)
	}
}

// TestReaderBesideWriter reads over and over while another goroutine writes as fast as it can.
func TestReaderBesideWriter(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path)
	org, id := sess.NewOrgID(), sess.NewSessionID()
	j := openJournal(t, d, org, id)
	chunk := likeOutput(30000)
	done := make(chan error, 1)
	const total = 300
	go func() {
		for i := range uint64(total) {
			if err := j.Append(sess.SideAgent, data(1, i*uint64(len(chunk))), chunk); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	want := bytes.Repeat(chunk, total)
	follow := openReader(t, path, org, id)
	var followed []byte
	for running := true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
		}
		followed = append(followed, collect(t, follow)["agent/1"]...)
		s := sent(t, openReader(t, path, org, id))
		got := collect(t, s)["agent/1"]
		if !bytes.Equal(got, want[:len(got)]) {
			t.Fatalf("sent %d bytes that are no prefix", len(got))
		}
		if rep := s.Report(); len(rep.Problems) > 0 {
			t.Fatalf("Report = %+v", rep)
		}
	}
	wantBytes(t, "followed", followed, want)
}

func TestVerifyFindsDamage(t *testing.T) {
	t.Parallel()
	org, id := sess.NewOrgID(), sess.NewSessionID()
	make := func(t *testing.T) (string, string, []byte) {
		path := t.TempDir()
		d := openDir(t, path)
		j := openJournal(t, d, org, id)
		var want []byte
		for range 60 {
			p := likeOutput(30000)
			appendData(t, j, sess.SideAgent, 1, uint64(len(want)), p)
			want = append(want, p...)
		}
		if _, err := j.Close(true); err != nil {
			t.Fatal(err)
		}
		return path, filepath.Join(path, string(org), string(id)), want
	}
	edit := func(t *testing.T, file string, f func([]byte) []byte) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
	}
	dropLine := func(n int) func([]byte) []byte {
		return func(b []byte) []byte {
			lines := strings.SplitAfter(string(b), "\n")
			return []byte(strings.Join(append(lines[:n:n], lines[n+1:]...), ""))
		}
	}
	for name, tc := range map[string]struct {
		file   string
		edit   func([]byte) []byte
		reason string
	}{
		"flipped byte in a segment":   {"000000.zst", flip(100), "digest"},
		"cut segment":                 {"000000.zst", func(b []byte) []byte { return b[:len(b)-10] }, "EOF"},
		"flipped byte in the chain":   {"chain.jsonl", flip(20), "chain"},
		"removed line of the chain":   {"chain.jsonl", dropLine(1), "chain"},
		"removed end and segment":     {"chain.jsonl", func(b []byte) []byte { return nil }, ""},
		"altered description":         {"meta.json", func(b []byte) []byte { return bytes.Replace(b, []byte("exec"), []byte("shel"), 1) }, "chain"},
		"digest altered to fit a lie": {"chain.jsonl", func(b []byte) []byte { return bytes.Replace(b, []byte(`"records":`), []byte(`"records":1`), 1) }, "chain"},
	} {
		t.Run(name, func(t *testing.T) {
			path, dir, want := make(t)
			edit(t, filepath.Join(dir, tc.file), tc.edit)
			rep, err := recording.Verify(path, org, id)
			if err != nil || rep.State == sess.RecordingComplete {
				t.Fatalf("Verify = %+v, %v, want trouble", rep, err)
			}
			if tc.reason != "" && (rep.State != sess.RecordingIncomplete || !strings.Contains(strings.Join(rep.Problems, " "), tc.reason)) {
				t.Errorf("Verify = %+v, want a problem with %q", rep, tc.reason)
			}
			if rep.Agent > uint64(len(want)) {
				t.Errorf("more bytes than there were: %+v", rep)
			}
			s := sent(t, openReader(t, path, org, id))
			collect(t, s)
			if got := s.Report(); got.State != rep.State || len(got.Problems) != len(rep.Problems) {
				t.Errorf("Report at the client = %+v, at the server %+v", got, rep)
			}
		})
	}
	if rep, err := recording.Verify(t.TempDir(), org, id); err != nil || rep.State != sess.RecordingMissing {
		t.Errorf("Verify of nothing = %+v, %v, want missing", rep, err)
	}
}
