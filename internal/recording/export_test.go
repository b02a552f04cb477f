package recording_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// script is a recording in memory.
type script struct {
	meta recording.Meta
	recs []recording.Record
	ends map[string]uint64
	ctl  uint64
}

func (s *script) Meta() recording.Meta { return s.meta }

func (s *script) Next() (recording.Record, error) {
	if len(s.recs) == 0 {
		return recording.Record{}, io.EOF
	}
	r := s.recs[0]
	s.recs = s.recs[1:]
	return r, nil
}

func (s *script) add(at time.Duration, side sess.Side, channel uint32, p string) {
	if s.ends == nil {
		s.ends = map[string]uint64{}
	}
	key := string(side) + string(rune(channel))
	h := data(channel, s.ends[key])
	s.ends[key] += uint64(len(p))
	s.recs = append(s.recs, recording.Record{Seq: uint64(len(s.recs)), Time: at, Kind: recording.KindFrame, Side: side, Header: h, Payload: []byte(p)})
}

func (s *script) resize(at time.Duration, cols, rows uint16) {
	p, err := wire.EncodeCtl(wire.CtlResize, wire.Resize{Cols: cols, Rows: rows})
	if err != nil {
		panic(err)
	}
	s.recs = append(s.recs, recording.Record{
		Seq: uint64(len(s.recs)), Time: at, Kind: recording.KindFrame, Side: sess.SideClient, Header: wire.Header{Type: wire.Ctl, Offset: s.ctl}, Payload: p,
	})
	s.ctl++
}

func (s *script) params(t testing.TB, p sess.Params) {
	t.Helper()
	b, err := sess.EncodeParams(p)
	if err != nil {
		t.Fatal(err)
	}
	s.add(0, sess.SideClient, wire.ChannelParams, string(b[:10]))
	s.add(0, sess.SideClient, wire.ChannelParams, string(b[10:]))
	s.recs[len(s.recs)-1].Header.Flags = wire.FlagFIN
}

func shellScript(t testing.TB) *script {
	s := &script{meta: recording.Meta{Kind: sess.KindShell, Started: time.Unix(1000, 0)}}
	s.params(t, sess.Params{TTY: true, Term: "xterm-256color", Cols: 100, Rows: 30})
	s.add(100*time.Millisecond, sess.SideAgent, 1, "$ ")
	s.add(1500*time.Millisecond, sess.SideClient, 1, "ls\r")
	s.add(1600*time.Millisecond, sess.SideAgent, 1, "a <b> 漢"[:7])
	s.add(1700*time.Millisecond, sess.SideAgent, 1, "a <b> 漢"[7:]+"\xff\r\n")
	again := s.recs[len(s.recs)-1]
	s.recs = append(s.recs, again) // another node recorded it too
	s.resize(2*time.Second, 120, 40)
	s.resize(3*time.Second, 120, 40)
	s.add(10*time.Second, sess.SideAgent, 1, "\x1b[31mred\x1b[0m \xe6")
	return s
}

func TestExportCast(t *testing.T) {
	for name, tc := range map[string]struct {
		r    *script
		opts recording.CastOptions
		want string
	}{
		"shell": {shellScript(t), recording.CastOptions{}, `{"version":2,"width":100,"height":30,"timestamp":1000,"env":{"TERM":"xterm-256color"}}
[0.100000,"o","$ "]
[1.600000,"o","a <b> "]
[1.700000,"o","漢` + "\ufffd" + `\r\n"]
[2.000000,"r","120x40"]
[10.000000,"o","\u001b[31mred\u001b[0m "]
[10.000000,"o","` + "\ufffd" + `"]
`},
		"shell with input": {shellScript(t), recording.CastOptions{Input: true, Title: "t", IdleLimit: 2 * time.Second}, `{"version":2,"width":100,"height":30,"timestamp":1000,"idle_time_limit":2,"title":"t","env":{"TERM":"xterm-256color"}}
[0.100000,"o","$ "]
[1.500000,"i","ls\r"]
[1.600000,"o","a <b> "]
[1.700000,"o","漢` + "\ufffd" + `\r\n"]
[2.000000,"r","120x40"]
[10.000000,"o","\u001b[31mred\u001b[0m "]
[10.000000,"o","` + "\ufffd" + `"]
`},
		"exec": {execScript(t), recording.CastOptions{}, `{"version":2,"width":80,"height":24,"timestamp":0,"command":"make -j2"}
[1.000000,"o","out\r\n"]
[1.000000,"o","err\r"]
[2.000000,"o","\n\r\n"]
`},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := recording.ExportCast(tc.r, &b, tc.opts); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, b.String()); d != "" {
				t.Errorf("ExportCast (-want +got):\n%s", d)
			}
			for line := range strings.Lines(b.String()) {
				if !json.Valid([]byte(line)) {
					t.Errorf("no JSON: %s", line)
				}
			}
		})
	}
}

func execScript(t testing.TB) *script {
	s := &script{meta: recording.Meta{Kind: sess.KindExec, Started: time.Unix(0, 0)}}
	s.params(t, sess.Params{Argv: []string{"make", "-j2"}})
	s.add(time.Second, sess.SideAgent, wire.ChannelMain, "out\n")
	s.add(time.Second, sess.SideAgent, wire.ChannelStderr, "err\r")
	s.add(2*time.Second, sess.SideAgent, wire.ChannelStderr, "\n\n")
	return s
}

func TestExportText(t *testing.T) {
	shell := &script{meta: recording.Meta{Kind: sess.KindShell}}
	for _, p := range []string{
		"\x1b]0;title\a\x1b[32m$ \x1b[0mecho hellp\b\x1b[Ko\r\nhello\r\n", "10%\r50%\r100%\r\n",
		"\x1b[?1049h\x1b[Hvim is here\r\n\x1b[?1049l$ lss\b\x1b[P -l\r\n", "漢", "字 end",
	} {
		shell.add(0, sess.SideAgent, 1, p)
	}
	for name, tc := range map[string]struct {
		r    *script
		want string
	}{
		"shell": {shell, "$ echo hello\nhello\n100%\n[a full-screen program]\n$ ls -l\n漢字 end\n"},
		"exec":  {execScript(t), "out\nerr\r\n\n"},
	} {
		var b bytes.Buffer
		if err := recording.ExportText(tc.r, &b, false); err != nil {
			t.Fatal(err)
		}
		if b.String() != tc.want {
			t.Errorf("%s: ExportText = %q, want %q", name, b.String(), tc.want)
		}
	}
}

func TestPlayerKeepsTime(t *testing.T) {
	for name, tc := range map[string]struct {
		speed float64
		idle  time.Duration
		want  []time.Duration
	}{
		"as it was":      {0, 0, []time.Duration{100 * time.Millisecond, 1500 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond, 8 * time.Second}},
		"twice as fast":  {2, 0, []time.Duration{50 * time.Millisecond, 750 * time.Millisecond, 50 * time.Millisecond, 150 * time.Millisecond, 4 * time.Second}},
		"no long pauses": {1, time.Second, []time.Duration{100 * time.Millisecond, time.Second, 100 * time.Millisecond, 300 * time.Millisecond, time.Second}},
	} {
		clock := time.Unix(0, 0)
		var slept []time.Duration
		var sizes []uint16
		p := recording.Player{
			Speed: tc.speed, IdleLimit: tc.idle,
			Now: func() time.Time { return clock },
			Sleep: func(_ context.Context, d time.Duration) error {
				slept = append(slept, d)
				clock = clock.Add(d)
				return nil
			},
			OnResize: func(cols, _ uint16) { sizes = append(sizes, cols) },
		}
		var b bytes.Buffer
		if err := p.Play(context.Background(), shellScript(t), &b); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tc.want, slept); d != "" {
			t.Errorf("%s: pauses (-want +got):\n%s", name, d)
		}
		if want := "$ a <b> 漢\xff\r\n\x1b[31mred\x1b[0m \xe6"; b.String() != want {
			t.Errorf("%s: played %q, want %q", name, b.String(), want)
		}
		if d := cmp.Diff([]uint16{100, 120}, sizes); d != "" {
			t.Errorf("%s: sizes (-want +got):\n%s", name, d)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := new(recording.Player).Play(ctx, shellScript(t), io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("Play after cancel = %v", err)
	}
}
