package recording_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// sample gives a small recording, encrypted to ids: its stream form and its ring file.
func sample(f *testing.F, final bool, ids ...recording.Identity) (stream, ring []byte) {
	f.Helper()
	path := f.TempDir()
	d := openDir(f, path)
	org := sess.OrgID("org_aaaaaaaaaaaaaaaa")
	id := sess.SessionID("ses_aaaaaaaaaaaaaaaa")
	j := openSealed(f, d, org, id, ids...)
	appendData(f, j, sess.SideAgent, 1, 0, []byte("some output"))
	appendData(f, j, sess.SideClient, 1, 0, []byte("input"))
	if err := j.Mark(recording.MarkJoin, map[string]string{"who": "someone"}); err != nil {
		f.Fatal(err)
	}
	ring, err := os.ReadFile(filepath.Join(path, string(org), string(id), "ring-0"))
	if err != nil {
		f.Fatal(err)
	}
	if final {
		if _, err := j.Close(true); err != nil {
			f.Fatal(err)
		}
	}
	r := openReader(f, path, org, id)
	var b bytes.Buffer
	if _, err := r.WriteTo(&b); err != nil {
		f.Fatal(err)
	}
	return b.Bytes(), ring
}

func FuzzStreamReader(f *testing.F) {
	id := newIdentity(f)
	for _, final := range []bool{false, true} {
		for _, ids := range [][]recording.Identity{nil, {id}} {
			stream, _ := sample(f, final, ids...)
			f.Add(stream)
			f.Add(stream[:len(stream)-3])
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := recording.NewStreamReader(bytes.NewReader(b), id)
		if err != nil {
			return
		}
		defer s.Close()
		for {
			r, err := s.Next()
			if errors.Is(err, io.EOF) || err != nil {
				break
			}
			if len(r.Payload) > 128<<10 {
				t.Fatalf("a record of %d bytes", len(r.Payload))
			}
		}
		if rep := s.Report(); rep.State == "" {
			t.Fatal("a recording without state")
		}
		if s, err = recording.NewStreamReader(bytes.NewReader(b)); err == nil { // as somebody who has no key
			_ = recording.ExportCast(s, io.Discard, recording.CastOptions{Input: true})
			_ = s.Close()
		}
	})
}

// FuzzJournalRecover opens a journal whose ring file holds anything: it must open, go on, and read back what was added.
func FuzzJournalRecover(f *testing.F) {
	_, ring := sample(f, false)
	f.Add(ring)
	f.Add(ring[:len(ring)-5])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, ring []byte) {
		path := t.TempDir()
		org, id := sess.NewOrgID(), sess.NewSessionID()
		d := openDir(t, path)
		if _, err := openJournal(t, d, org, id).Close(false); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, string(org), string(id), "ring-2"), ring, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := d.Open(org, id, recording.Meta{})
		if err != nil {
			return // too large a file
		}
		at, _ := j.End(sess.SideAgent, wire.StreamID{Channel: 9})
		if at > 1<<61 {
			return
		}
		if err := j.Append(sess.SideAgent, data(9, at), []byte("added")); err != nil {
			t.Skip(err)
		}
		if _, err := j.Close(true); err != nil {
			t.Fatal(err)
		}
		if got := collect(t, openReader(t, path, org, id))["agent/9"]; !bytes.HasSuffix(got, []byte("added")) {
			t.Fatalf("read back %q", got)
		}
	})
}
