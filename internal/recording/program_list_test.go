package recording_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// listed is a recording of two programs, whose lines came in pieces, one of them twice.
type listed struct{ at int }

func (*listed) Meta() recording.Meta { return recording.Meta{Kind: sess.KindExec} }

const programLines = `{"t":"begin","at":1}` + "\n" + `{"t":"run","id":1,"argv":["make","all"],"at":2}` + "\n" +
	`{"t":"exit","id":1,"status":0,"at":3}` + "\n" + `{"t":"run","id":2,"argv":["rm","-rf","x"],"at":4}` + "\n"

func (l *listed) Next() (recording.Record, error) {
	pieces := []struct{ from, to int }{{0, 30}, {10, 60}, {60, 61}, {61, len(programLines)}}
	if l.at == len(pieces) {
		return recording.Record{}, io.EOF
	}
	p := pieces[l.at]
	l.at++
	return recording.Record{
		Seq: uint64(l.at), Time: time.Duration(l.at) * time.Second, Kind: recording.KindFrame, Side: sess.SideAgent,
		Header: wire.Header{Type: wire.Data, Channel: wire.ChannelPrograms, Offset: uint64(p.from)}, Payload: []byte(programLines[p.from:p.to]),
	}, nil
}

func TestProgramsAreCopiedAndMarked(t *testing.T) {
	var b bytes.Buffer
	if n, err := recording.CopyPrograms(&listed{}, &b); err != nil || b.String() != programLines || n != int64(len(programLines)) {
		t.Errorf("%d bytes, %v:\n%s", n, err, &b)
	}
	b.Reset()
	if err := recording.ExportCast(&listed{}, &b, recording.CastOptions{Programs: true}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"m","make all"]`, `[4.000000,"m","rm -rf x"]`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in\n%s", want, &b)
		}
	}
	b.Reset()
	if err := recording.ExportCast(&listed{}, &b, recording.CastOptions{}); err != nil || strings.Contains(b.String(), `"m"`) {
		t.Errorf("markers though nobody asked: %v\n%s", err, &b)
	}
}
