package recording_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

func echoedLine(t testing.TB, num uint16, typed string) string {
	t.Helper()
	b, err := json.Marshal(sess.EchoedLine{Participant: num, Typed: []byte(typed)})
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

// TestMaskedInputOfAGuestIsNotTheOwners: who typed is in the line that the agent told, and evidence against the wrong one is
// worse than none.
func TestMaskedInputOfAGuestIsNotTheOwners(t *testing.T) {
	s := &script{meta: recording.Meta{Kind: sess.KindShell, Started: time.Unix(1000, 0), Cols: 80, Rows: 24}}
	s.add(time.Second, sess.SideAgent, wire.ChannelEchoed, echoedLine(t, 0, "ls\r")+echoedLine(t, 2, "rm -rf /")+echoedLine(t, 2, "\r")+echoedLine(t, 0, "no!"))
	var b bytes.Buffer
	if err := recording.ExportCast(s, &b, recording.CastOptions{Input: true}); err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(b.String(), "\n")
	want := `[1.000000,"i","ls\r"]
[1.000000,"m","participant 2 types"]
[1.000000,"i","rm -rf /\r"]
[1.000000,"m","the owner types"]
[1.000000,"i","no!"]
`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// TestHalvesOfLinesMakeNoLine: of a list with a hole nothing is put together that was never told, and what is behind it is there.
func TestHalvesOfLinesMakeNoLine(t *testing.T) {
	list := `{"t":"begin","at":1}` + "\n" + `{"t":"run","id":1,"argv":["echo","a"],"at":2}` + "\n" +
		`{"t":"run","id":2,"argv":["echo","b"],"at":3}` + "\n" + `{"t":"run","id":3,"argv":["rm","c"],"at":4}` + "\n"
	// The hole begins within the first echo and ends within the second one, at the same place.
	from, to := strings.Index(list, `"a"`), strings.Index(list, `"b"`)
	holed := func() *script {
		s := &script{meta: recording.Meta{Kind: sess.KindExec}}
		s.add(time.Second, sess.SideAgent, wire.ChannelPrograms, list[:from])
		s.ends[string(sess.SideAgent)+string(rune(wire.ChannelPrograms))] = uint64(to)
		s.add(2*time.Second, sess.SideAgent, wire.ChannelPrograms, list[to:])
		return s
	}
	var b bytes.Buffer
	if _, err := recording.CopyPrograms(holed(), &b); err != nil {
		t.Fatal(err)
	}
	want := `{"t":"begin","at":1}` + "\n" + `{"t":"run","id":3,"argv":["rm","c"],"at":4}` + "\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("copied (-want +got)\n%s", d)
	}
	b.Reset()
	if err := recording.ExportCast(holed(), &b, recording.CastOptions{Programs: true}); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.Contains(s, "echo") || !strings.Contains(s, `"m","rm c"`) {
		t.Errorf("marked:\n%s", s)
	}

	typed := echoedLine(t, 0, "aaaaaa") + echoedLine(t, 0, "bbbbbb") + echoedLine(t, 0, "c")
	line := len(echoedLine(t, 0, "aaaaaa"))
	s := &script{meta: recording.Meta{Kind: sess.KindShell, Cols: 80, Rows: 24}}
	s.add(time.Second, sess.SideAgent, wire.ChannelEchoed, typed[:14])
	s.ends[string(sess.SideAgent)+string(rune(wire.ChannelEchoed))] = uint64(line + 14)
	s.add(time.Second, sess.SideAgent, wire.ChannelEchoed, typed[line+14:])
	b.Reset()
	if err := recording.ExportCast(s, &b, recording.CastOptions{Input: true}); err != nil {
		t.Fatal(err)
	}
	if _, got, _ := strings.Cut(b.String(), "\n"); got != `[1.000000,"i","c"]`+"\n" {
		t.Errorf("typed: %s", got)
	}
}
