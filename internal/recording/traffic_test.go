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
	appendData(t, j, sess.SideAgent, wire.ChannelPrograms, 0, []byte("for the record"))
	appendData(t, j, sess.SideAgent, wire.ChannelEchoed, 0, []byte("for the record"))
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

// TestJumpsBreakNoRecording: where a stream goes on is its sender's word. Several that jump as far as offsets go would count
// more than a checkpoint can hold, and neither the segments behind it nor the journal after a restart could be read: whoever
// has a session could make its recording worthless.
func TestJumpsBreakNoRecording(t *testing.T) {
	d := openDir(t, t.TempDir())
	org, id := sess.NewOrgID(), sess.NewSessionID()
	j := openJournal(t, d, org, id)
	appendData(t, j, sess.SideAgent, wire.ChannelMain, 0, []byte("rm -rf /"))
	far := uint64(wire.MaxOffset - wire.MaxFrame)
	for _, side := range []sess.Side{sess.SideClient, sess.SideAgent} {
		for ch := range uint32(6) {
			if err := j.StartRun(side, wire.StreamID{Channel: 10 + ch}, far); err != nil {
				t.Fatal(err)
			}
		}
	}
	chunk := bytes.Repeat([]byte("x"), 30_000)
	for i := range uint64(20) { // several segments
		appendData(t, j, sess.SideAgent, wire.ChannelMain, 8+i*uint64(len(chunk)), chunk)
	}
	if _, err := j.Close(false); err != nil {
		t.Fatal(err)
	}
	j = openJournal(t, d, org, id)
	appendData(t, j, sess.SideAgent, wire.ChannelMain, 8+20*uint64(len(chunk)), []byte("the end"))
	if _, err := j.Close(true); err != nil {
		t.Fatal(err)
	}
	rep, err := d.Verify(org, id)
	if err != nil || rep.Damaged > 0 {
		t.Errorf("%d segments are damaged: %v, %q", rep.Damaged, err, rep.Problems)
	}
}
