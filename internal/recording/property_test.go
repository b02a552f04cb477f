package recording_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// oracleStream is what a stream must become: the source it is cut from, how much of it was sent, where gaps were.
type oracleStream struct {
	side   sess.Side
	id     wire.StreamID
	source []byte
	have   uint64
	want   []byte // what the record must hold: source without the gaps
	fin    bool
}

// TestRecordedStreamsEqualWhatWasSent sends frames in any order a broken link can bring about: repeated, overlapping,
// rewound, with gaps, over restarts; the record must hold every byte once, the first copy, in order.
func TestRecordedStreamsEqualWhatWasSent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		path, err := os.MkdirTemp("", "recording")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(path)
		m := newMachine(t, path)
		defer m.d.Close()
		t.Repeat(map[string]func(*rapid.T){
			"send":    m.send,
			"rewind":  m.rewind,
			"differ":  m.differ,
			"gap":     m.gap,
			"ctl":     m.ctl,
			"restart": m.restart,
			"":        m.check,
		})
		m.finish(t)
	})
}

type machine struct {
	path    string
	d       *recording.Dir
	j       *recording.Journal
	org     sess.OrgID
	id      sess.SessionID
	streams []*oracleStream
	ctls    [][]byte
	gapped  bool
}

func newMachine(t *rapid.T, path string) *machine {
	m := &machine{path: path, org: sess.NewOrgID(), id: sess.NewSessionID()}
	source := make([]byte, 4<<20)
	rnd := rand.NewChaCha8([32]byte{byte(rapid.IntRange(0, 255).Draw(t, "seed"))})
	_, _ = rnd.Read(source)
	for i, side := range []sess.Side{sess.SideClient, sess.SideAgent, sess.SideAgent} {
		m.streams = append(m.streams, &oracleStream{side: side, id: wire.StreamID{Channel: uint32(1 + i%2)}, source: source[i*1000:]})
	}
	m.open(t)
	return m
}

func (m *machine) open(t *rapid.T) {
	var err error
	if m.d, err = recording.OpenDir(m.path, recording.Options{SegmentBytes: recording.MinSegmentBytes}); err != nil {
		t.Fatal(err)
	}
	if m.j, err = m.d.Open(m.org, m.id, recording.Meta{Kind: sess.KindExec}); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) pick(t *rapid.T) *oracleStream {
	return m.streams[rapid.IntRange(0, len(m.streams)-1).Draw(t, "stream")]
}

// frame sends source[from:to] of s, and its FIN if asked, and moves the oracle.
func (m *machine) frame(t *rapid.T, s *oracleStream, from uint64, size int, fin bool) {
	h := wire.Header{Type: wire.Data, Channel: s.id.Channel, Offset: from}
	if fin {
		h.Flags = wire.FlagFIN
	}
	p := s.source[from : from+uint64(size)]
	if size == 0 && !fin {
		return
	}
	if err := m.j.Append(s.side, h, p); err != nil {
		t.Fatalf("Append: %v", err)
	}
	if end := from + uint64(size); end > s.have {
		s.want = append(s.want, s.source[s.have:end]...)
		s.have = end
	}
	s.fin = s.fin || fin
}

func (m *machine) send(t *rapid.T) {
	s := m.pick(t)
	if s.fin || s.have > 3<<20 {
		t.Skip()
	}
	for range rapid.IntRange(1, 12).Draw(t, "frames") {
		size := rapid.SampledFrom([]int{1, 2, 100, 5000, wire.MaxPayload}).Draw(t, "size")
		m.frame(t, s, s.have, size, false)
	}
	if rapid.IntRange(0, 30).Draw(t, "fin") == 0 {
		m.frame(t, s, s.have, 0, true)
	}
}

func (m *machine) rewind(t *rapid.T) {
	s := m.pick(t)
	if s.have == 0 || s.have > 3<<20 || uint64(len(s.want)) != s.have {
		t.Skip()
	}
	back := min(uint64(rapid.IntRange(1, 600<<10).Draw(t, "back")), s.have)
	at, limit := s.have-back, s.have
	if !s.fin {
		limit += uint64(rapid.IntRange(0, 5000).Draw(t, "new"))
	}
	for at < limit {
		size := min(uint64(rapid.IntRange(1, wire.MaxPayload).Draw(t, "size")), limit-at)
		m.frame(t, s, at, int(size), s.fin && at+size == limit)
		at += size
	}
}

// differ repeats bytes with one altered: it must be noticed and must change nothing.
func (m *machine) differ(t *rapid.T) {
	s := m.pick(t)
	if s.have == 0 || uint64(len(s.want)) != s.have {
		t.Skip()
	}
	size := min(s.have, uint64(rapid.IntRange(1, wire.MaxPayload).Draw(t, "size")))
	from := s.have - size - uint64(rapid.IntRange(0, int(min(s.have-size, 500<<10))).Draw(t, "back"))
	p := bytes.Clone(s.source[from : from+size])
	p[rapid.IntRange(0, len(p)-1).Draw(t, "at")] ^= 4
	if err := m.j.Append(s.side, data(s.id.Channel, from), p); !errors.Is(err, recording.ErrDiffers) {
		t.Fatalf("Append of altered bytes at %d = %v, want ErrDiffers", from, err)
	}
}

func (m *machine) gap(t *rapid.T) {
	s := m.pick(t)
	if s.fin || s.have > 3<<20 || rapid.IntRange(0, 5).Draw(t, "really") > 0 {
		t.Skip()
	}
	base := s.have + uint64(rapid.IntRange(1, 10000).Draw(t, "gap"))
	if err := m.j.Append(s.side, data(s.id.Channel, base), []byte("x")); !errors.Is(err, recording.ErrGap) {
		t.Fatalf("Append above the end = %v, want ErrGap", err)
	}
	if err := m.j.StartRun(s.side, s.id, base); err != nil {
		t.Fatal(err)
	}
	s.have, m.gapped = base, true
}

func (m *machine) ctl(t *rapid.T) {
	at := rapid.IntRange(max(0, len(m.ctls)-5), len(m.ctls)).Draw(t, "at")
	if at == len(m.ctls) {
		p, err := wire.EncodeCtl(wire.CtlResize, wire.Resize{Cols: uint16(at), Rows: 24})
		if err != nil {
			t.Fatal(err)
		}
		m.ctls = append(m.ctls, p)
	}
	if err := m.j.Append(sess.SideClient, wire.Header{Type: wire.Ctl, Offset: uint64(at)}, m.ctls[at]); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) restart(t *rapid.T) {
	if err := m.d.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
}

func (m *machine) check(t *rapid.T) {
	for _, s := range m.streams {
		want := s.have
		if s.fin {
			want++
		}
		if got, _ := m.j.End(s.side, s.id); got != want {
			t.Fatalf("End(%s, %d) = %d, want %d", s.side, s.id.Channel, got, want)
		}
	}
}

func (m *machine) finish(t *rapid.T) {
	if _, err := m.j.Close(true); err != nil {
		t.Fatal(err)
	}
	r, err := recording.OpenReader(m.path, m.org, m.id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, ctls := map[string][]byte{}, [][]byte{}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case rec.Kind == recording.KindFrame && rec.Header.Type == wire.Ctl:
			ctls = append(ctls, bytes.Clone(rec.Payload))
		case rec.Kind == recording.KindFrame:
			k := fmt.Sprintf("%s/%d", rec.Side, rec.Header.Channel)
			got[k] = append(got[k], rec.Payload...)
		}
	}
	for _, s := range m.streams {
		if k := fmt.Sprintf("%s/%d", s.side, s.id.Channel); !bytes.Equal(got[k], s.want) {
			t.Fatalf("%s: %d bytes on record, want %d, or other ones", k, len(got[k]), len(s.want))
		}
	}
	if fmt.Sprint(ctls) != fmt.Sprint(m.ctls) && len(ctls)+len(m.ctls) > 0 {
		t.Fatalf("%d control messages on record, want %d", len(ctls), len(m.ctls))
	}
	want := sess.RecordingComplete
	if m.gapped {
		want = sess.RecordingIncomplete
	}
	if rep := r.Report(); rep.State != want {
		t.Fatalf("Report = %+v, want %s", rep, want)
	}
}
