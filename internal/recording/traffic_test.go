package recording_test

import (
	"bytes"
	"testing"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// What passed is counted by stream, once, without the FINs, the parameters and the control messages; also over a restart in
// the middle, where bytes are not on record, and by whoever reads the recording later.
func TestTraffic(t *testing.T) {
	d := openDir(t, t.TempDir())
	org, id := sess.NewOrgID(), sess.NewSessionID()
	j := openJournal(t, d, org, id)
	fin := func(side sess.Side, channel uint32, offset uint64, p string) {
		t.Helper()
		h := data(channel, offset)
		h.Flags = wire.FlagFIN
		if err := j.Append(side, h, []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	fin(sess.SideClient, wire.ChannelParams, 0, "{}")
	if err := j.Append(sess.SideClient, wire.Header{Type: wire.Ctl}, []byte("xx")); err != nil {
		t.Fatal(err)
	}
	appendData(t, j, sess.SideClient, wire.ChannelMain, 0, []byte("input"))
	appendData(t, j, sess.SideClient, wire.ChannelMain, 2, []byte("put more")) // 3 of them again
	fin(sess.SideClient, wire.ChannelMain, 10, "")
	fin(sess.SideAgent, wire.ChannelStderr, 0, "oh")
	chunk := bytes.Repeat([]byte("x"), 30_000)
	var at uint64
	for range 20 { // several segments
		appendData(t, j, sess.SideAgent, wire.ChannelMain, at, chunk)
		at += uint64(len(chunk))
	}
	if _, err := j.Close(false); err != nil {
		t.Fatal(err)
	}
	j = openJournal(t, d, org, id)
	if err := j.StartRun(sess.SideAgent, wire.StreamID{Channel: wire.ChannelMain}, at+100); err != nil {
		t.Fatal(err)
	}
	fin(sess.SideAgent, wire.ChannelMain, at+100, "end")
	fin(sess.SideAgent, wire.ChannelMain, at+100, "end")
	appendData(t, j, sess.SideAgent, 4, 0, []byte("for the record"))
	want := sess.Traffic{In: 10, Out: 600_103, Err: 2}
	if got := j.Traffic(); got != want {
		t.Errorf("Traffic = %+v, want %+v", got, want)
	}
	sum, err := j.Close(true)
	if err != nil || sum.Moved != want {
		t.Errorf("Close = %+v, %v, want %+v", sum.Moved, err, want)
	}
	var rep recording.Report
	if rep, err = d.Verify(org, id); err != nil || rep.Moved != want {
		t.Errorf("Verify = %+v, %v, want %+v", rep.Moved, err, want)
	}
}
