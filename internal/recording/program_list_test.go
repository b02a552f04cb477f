package recording_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// listed is a recording of two programs, whose lines came in pieces, one of them twice.
type listed struct{ at int }

func (*listed) Meta() recording.Meta { return recording.Meta{Kind: sess.KindExec} }

const programLines = `{"t":"begin","at":1}` + "\n" + `{"t":"run","id":1,"argv":["make","all"],"at":2}` + "\n" +
	`{"t":"exit","id":1,"status":0,"at":3}` + "\n" + `{"t":"run","id":2,"argv":["rm","-rf","x y"],"at":2500001}` + "\n"

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
	for _, want := range []string{`"m","make all"]`, `[3.500000,"m","rm -rf 'x y'"]`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in\n%s", want, &b)
		}
	}
	b.Reset()
	if err := recording.ExportCast(&listed{}, &b, recording.CastOptions{}); err != nil || strings.Contains(b.String(), `"m"`) {
		t.Errorf("markers though nobody asked: %v\n%s", err, &b)
	}
}

// told is a session on a terminal whose agent, with a clock of its own, tells of programs 100 ms late: behind what they wrote.
func told(t testing.TB) *script {
	s := &script{meta: recording.Meta{Kind: sess.KindShell, Started: time.Unix(1000, 0)}}
	s.params(t, sess.Params{TTY: true, Cols: 80, Rows: 24})
	s.add(0, sess.SideAgent, wire.ChannelPrograms, `{"t":"begin","at":7000000}`+"\n")
	s.add(time.Second, sess.SideAgent, wire.ChannelMain, "$ ls\r\n")
	s.add(1020*time.Millisecond, sess.SideAgent, wire.ChannelMain, "a  b\r\n$ ")
	s.add(1100*time.Millisecond, sess.SideAgent, wire.ChannelPrograms, `{"t":"run","id":1,"argv":["ls","a b"],"at":8010000}`+"\n")
	s.add(5*time.Second, sess.SideAgent, wire.ChannelMain, "make\r\n")
	s.add(5100*time.Millisecond, sess.SideAgent, wire.ChannelPrograms, `{"t":"run","id":2,"argv":["make","\u001b]2;mine\u0007\u202e\u009b"],"at":12010000}`+"\n")
	s.add(5100*time.Millisecond, sess.SideAgent, wire.ChannelPrograms, `{"t":"run","id":3,"argv":["cc"],"at":12020000}`+"\n"+`{"t":"lost","lost":7,"at":12030000}`+"\n")
	s.add(9*time.Second, sess.SideAgent, wire.ChannelMain, "$ ")
	return s
}

// TestProgramsAreToldWhenTheyStarted: before what they wrote, though the agent tells later.
func TestProgramsAreToldWhenTheyStarted(t *testing.T) {
	var b bytes.Buffer
	if err := recording.ExportText(told(t), &b, true); err != nil {
		t.Fatal(err)
	}
	want := "$ ls\n[00:01 ls 'a b']\na  b\n$ make\n[00:05 make '\ufffd]2;mine\ufffd\ufffd\ufffd']\n[00:05 cc]\n[00:05 7 programs or ends are missing]\n$\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("transcript (-want +got):\n%s", d)
	}
	b.Reset()
	if err := recording.ExportText(told(t), &b, false); err != nil || strings.Contains(b.String(), "[") {
		t.Errorf("programs though nobody asked: %v\n%s", err, &b)
	}
	var found []recording.Line
	if err := recording.EachLine(told(t), true, func(l recording.Line) error {
		if l.Program {
			found = append(found, l)
		}
		return nil
	}); err != nil || len(found) != 4 || found[0].Text != "ls 'a b'" || found[0].Time != 1010*time.Millisecond {
		t.Errorf("found %+v, %v", found, err)
	}
}

// TestEscapesInArgumentsReachNoTerminal: who runs a program chooses its arguments, and somebody else replays them.
func TestEscapesInArgumentsReachNoTerminal(t *testing.T) {
	for name, show := range map[string]func(io.Writer) error{
		"cast": func(w io.Writer) error {
			return recording.ExportCast(told(t), w, recording.CastOptions{Programs: true})
		},
		"text": func(w io.Writer) error { return recording.ExportText(told(t), w, true) },
		"play": func(w io.Writer) error {
			p := recording.Player{Speed: math.Inf(1), Programs: true, OnProgram: func(_ time.Duration, c string) { _, _ = io.WriteString(w, c) }}
			return p.Play(t.Context(), told(t), io.Discard)
		},
	} {
		var b bytes.Buffer
		if err := show(&b); err != nil {
			t.Fatal(err)
		}
		if s := b.String(); !strings.Contains(s, "mine") || strings.ContainsAny(s, "\x1b\a\u202e\u009b") || strings.Contains(s, "u001b") {
			t.Errorf("%s: %q", name, s)
		}
	}
}

// TestStepsGoFromProgramToProgram: on, back, and beyond both ends.
func TestStepsGoFromProgramToProgram(t *testing.T) {
	steps := make(chan recording.Step)
	states := make(chan recording.State, 1)
	p := recording.Player{
		Programs: true, Steps: steps, OnState: func(s recording.State) { states <- s },
		Again: func() (recording.Records, error) { return told(t), nil },
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Play(ctx, told(t), io.Discard) }()
	steps <- recording.Step{Pause: true}
	<-states
	for i, tc := range []struct {
		by      int
		at      time.Duration
		program string
	}{
		{1, 1010 * time.Millisecond, "ls 'a b'"},
		{1, 5010 * time.Millisecond, "make '\ufffd]2;mine\ufffd\ufffd\ufffd'"},
		{1, 5020 * time.Millisecond, "cc"},
		{-1, 1010 * time.Millisecond, "ls 'a b'"},
		{-1, 0, ""},
		{1, 1010 * time.Millisecond, "ls 'a b'"},
		{1, 5010 * time.Millisecond, "make '\ufffd]2;mine\ufffd\ufffd\ufffd'"},
		{1, 5020 * time.Millisecond, "cc"},
		{1, 5030 * time.Millisecond, "7 programs or ends are missing"},
		{1, 9 * time.Second, "7 programs or ends are missing"},
	} {
		steps <- recording.Step{Program: tc.by}
		if s := <-states; s.At != tc.at || s.Program != tc.program || !s.Paused {
			t.Errorf("step %d: %+v, want %v %q", i, s, tc.at, tc.program)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
