package recording_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// sentBlock is one block of a recording on its way.
type sentBlock struct {
	kind byte
	b    []byte
}

func sentBlocks(t *testing.T, r *recording.Reader) (all []sentBlock) {
	t.Helper()
	var b bytes.Buffer
	if _, err := r.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	b.Next(len("sessrec1"))
	for b.Len() > 0 {
		head := b.Next(5)
		kind := head[0]
		all = append(all, sentBlock{kind, bytes.Clone(b.Next(int(binary.BigEndian.Uint32(head[1:]))))})
	}
	return all
}

func stream(all []sentBlock) io.Reader {
	b := bytes.NewBufferString("sessrec1")
	for _, x := range all {
		b.WriteByte(x.kind)
		_ = binary.Write(b, binary.BigEndian, uint32(len(x.b)))
		b.Write(x.b)
	}
	return b
}

// shown reads a stream to its end and gives the terminal's output with the report.
func shown(t *testing.T, from io.Reader) (string, recording.Report) {
	t.Helper()
	s, err := recording.NewStreamReader(from)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var out []byte
	for {
		rec, err := s.Next()
		if errors.Is(err, io.EOF) {
			return string(out), s.Report()
		}
		if err != nil {
			t.Fatal(err)
		}
		if rec.Kind == recording.KindFrame && rec.Side == sess.SideAgent {
			out = append(out, rec.Payload...)
		}
	}
}

// TestNothingIsShownThatTheDigestDoesNotStandFor: a recording that is being written is sent with the part that is in no chain
// yet, and the chain repeats that later. Whoever sends a recording that has ended, the server's owner say, or whoever gives an
// auditor a file, could put a part of their own first, of as many records: the chain's own would pass for repetitions, every
// digest would be right, and what is replayed would be another session.
func TestNothingIsShownThatTheDigestDoesNotStandFor(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, path)
	org := sess.NewOrgID()
	record := func(words ...string) (sess.SessionID, *recording.Journal) {
		id := sess.NewSessionID()
		j := openJournal(t, d, org, id)
		at := uint64(0)
		for _, w := range words {
			appendData(t, j, sess.SideAgent, wire.ChannelMain, at, []byte(w))
			at += uint64(len(w))
		}
		return id, j
	}
	evil, evils := record("rm -rf /", " done")
	if _, err := evils.Close(true); err != nil {
		t.Fatal(err)
	}
	good, goods := record("ls -l", " nothing here")
	defer goods.Close(false)
	if err := goods.Sync(); err != nil {
		t.Fatal(err)
	}
	real := sentBlocks(t, openReader(t, path, org, evil))
	var forged []sentBlock
	for _, b := range sentBlocks(t, openReader(t, path, org, good)) {
		if b.kind == 'J' {
			forged = append(forged, b)
		}
	}
	if len(forged) == 0 {
		t.Fatal("nothing of the recording that is being written was sent")
	}
	out, want := shown(t, stream(real))
	if out != "rm -rf / done" || want.State != sess.RecordingComplete || len(want.Problems) > 0 {
		t.Fatalf("as it is: %q, %+v", out, want)
	}
	for i := 1; i <= len(real); i++ { // at every place
		all := append(append(append([]sentBlock(nil), real[:i]...), forged...), real[i:]...)
		s, err := recording.NewStreamReader(stream(all))
		if err != nil {
			continue
		}
		var out []byte
		for err == nil {
			var rec recording.Record
			if rec, err = s.Next(); err == nil && rec.Kind == recording.KindFrame {
				out = append(out, rec.Payload...)
			}
		}
		got := s.Report()
		_ = s.Close()
		if errors.Is(err, io.EOF) && got.State == sess.RecordingComplete && len(got.Problems) == 0 && string(out) != "rm -rf / done" {
			t.Errorf("at block %d: whole and unaltered, digest %.8s, and it shows %q", i, got.Digest, out)
		}
	}
}

// TestASessionThatEndsWhileItIsReadIsWhole: the part that was in no chain yet, and then is, is no reason to doubt.
func TestASessionThatEndsWhileItIsReadIsWhole(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, path)
	org, id := sess.NewOrgID(), sess.NewSessionID()
	j := openJournal(t, d, org, id)
	var at uint64
	say := func(n int) {
		for range n {
			text := fmt.Sprintf("%d bottles\n", at)
			appendData(t, j, sess.SideAgent, wire.ChannelMain, at, []byte(text))
			at += uint64(len(text))
		}
	}
	say(300)
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	var parts []sentBlock
	for _, b := range sentBlocks(t, openReader(t, path, org, id)) {
		if b.kind == 'J' {
			parts = append(parts, b)
		}
	}
	say(9000) // several segments
	if _, err := j.Close(true); err != nil {
		t.Fatal(err)
	}
	all := sentBlocks(t, openReader(t, path, org, id))
	out, rep := shown(t, stream(append(append(append([]sentBlock(nil), all[:1]...), parts...), all[1:]...)))
	if uint64(len(out)) != at || rep.State != sess.RecordingComplete || len(rep.Problems) > 0 {
		t.Errorf("%d bytes of %d, %s: %q", len(out), at, rep.State, rep.Problems)
	}
}
