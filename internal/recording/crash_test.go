package recording_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

const (
	childDir     = "SESS_TEST_RECORDING_DIR"
	childSession = "SESS_TEST_RECORDING_SESSION"
	crashOrg     = sess.OrgID("org_aaaaaaaaaaaaaaaa")
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		writeUntilKilled(dir, sess.SessionID(os.Getenv(childSession)))
	}
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		_ = flag.Set("rapid.checks", checks)
	}
	os.Exit(m.Run())
}

var crashSides = [...]sess.Side{sess.SideClient, sess.SideAgent}

// patternTable is what both streams of the crash test carry, over and over; its length divides nothing.
var patternTable = func() []byte {
	p := make([]byte, 65521)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(p)
	return p
}()

// pattern is what a stream carries from an offset on.
func pattern(side int, off uint64, p []byte) {
	for at := (off + uint64(side)*777) % uint64(len(patternTable)); len(p) > 0; at = 0 {
		p = p[copy(p, patternTable[at:]):]
	}
}

// writeUntilKilled appends to both streams at once and acknowledges every append on stdout: a byte for the side, then
// the offset.
func writeUntilKilled(dir string, id sess.SessionID) {
	die := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	d, err := recording.OpenDir(dir, recording.Options{SegmentBytes: recording.MinSegmentBytes, SyncEvery: 20 * time.Millisecond, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		die(err)
	}
	j, err := d.Open(crashOrg, id, recording.Meta{Kind: sess.KindExec})
	if err != nil {
		die(err)
	}
	for n, side := range crashSides {
		go func() {
			var ack [9]byte
			buf := make([]byte, wire.MaxPayload)
			at, _ := j.End(side, wire.StreamID{Channel: 1})
			for {
				size := 1 + rand.N(64)
				if rand.N(2) == 0 {
					size = 1 + rand.N(len(buf))
				}
				p := buf[:size]
				pattern(n, at, p)
				if err := j.Append(side, data(1, at), p); err != nil {
					die(err)
				}
				at += uint64(size)
				ack[0] = byte(n)
				binary.BigEndian.PutUint64(ack[1:], at)
				if _, err := os.Stdout.Write(ack[:]); err != nil {
					die(err)
				}
			}
		}()
	}
	select {}
}

// TestKillLosesNothing kills a writer at random moments and checks that everything it acknowledged is on record, in the
// order and with the bytes it wrote.
func TestKillLosesNothing(t *testing.T) {
	t.Parallel()
	const perSession = 10
	dir := t.TempDir()
	var id sess.SessionID
	for k := range kills {
		if k%perSession == 0 {
			id = sess.NewSessionID()
		}
		acked := killOnce(t, dir, id)
		d := openDir(t, dir)
		j := openJournal(t, d, crashOrg, id)
		for n, side := range crashSides {
			if got, _ := j.End(side, wire.StreamID{Channel: 1}); got < acked[n] {
				t.Fatalf("kill %d: %d bytes from the %s on record, %d were acknowledged", k, got, side, acked[n])
			}
		}
		last := k%perSession == perSession-1
		if _, err := j.Close(last); err != nil {
			t.Fatal(err)
		}
		if last {
			checkPattern(t, dir, id, acked)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killOnce runs a writer, kills it and gives what it acknowledged.
func killOnce(t *testing.T, dir string, id sess.SessionID) (acked [2]uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childDir+"="+dir, childSession+"="+string(id))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := 1 + rand.N(400)
	for i := 0; ; i++ {
		if i == stop {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		var ack [9]byte
		if _, err := io.ReadFull(out, ack[:]); err != nil {
			break
		}
		acked[ack[0]] = binary.BigEndian.Uint64(ack[1:])
	}
	_ = cmd.Wait() // it was killed
	if acked[0]+acked[1] == 0 {
		t.Fatal("the writer acknowledged nothing")
	}
	return acked
}

func checkPattern(t *testing.T, dir string, id sess.SessionID, acked [2]uint64) {
	t.Helper()
	got := collect(t, openReader(t, dir, crashOrg, id))
	for n, side := range crashSides {
		b := got[string(side)+"/1"]
		want := make([]byte, len(b))
		pattern(n, 0, want)
		wantBytes(t, string(side), b, want)
		if uint64(len(b)) < acked[n] {
			t.Fatalf("%d bytes from the %s are readable, %d were acknowledged", len(b), side, acked[n])
		}
	}
	rep, err := recording.Verify(dir, crashOrg, id)
	if err != nil || rep.State != sess.RecordingComplete {
		t.Fatalf("Verify = %+v, %v, want complete", rep, err)
	}
}
