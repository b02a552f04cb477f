package recording_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/recording/vt"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// painting gives n bytes of a full-screen program's output: a frame that is drawn once, at its beginning, and then only
// parts of the inside.
func painting(n int) []byte {
	var b bytes.Buffer
	b.WriteString("\x1b]2;the title\a\x1b[?1049h\x1b[?2004h\x1b[2J")
	for y := range 24 {
		fmt.Fprintf(&b, "\x1b[%d;1H\x1b[3%dmrow %d, drawn once, 漢\x1b[0m", y+1, y%8, y)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for b.Len() < n {
		fmt.Fprintf(&b, "\x1b[%d;%dH\x1b[4%dmat %08d\x1b[0m", 5+r.IntN(10), 30+r.IntN(30), r.IntN(8), r.IntN(1e8))
	}
	return b.Bytes()[:n]
}

// seen is what a terminal shows that was brought to a screen, with what lies beneath.
func seen(p recording.Present) string {
	t := vt.New(int(p.Cols), int(p.Rows))
	_, _ = t.Write(p.Screen)
	return fmt.Sprintf("%d×%d %s\n%q", p.Cols, p.Rows, t.Title(), t.Screen())
}

// unreadable are recordings of which the server can read only the ring.
func unreadable(t *testing.T) map[string]recording.Meta {
	return map[string]recording.Meta{
		"off":       {Kind: sess.KindShell, TTY: true, Recording: sess.RecordOff},
		"encrypted": {Kind: sess.KindShell, TTY: true, Recipients: []string{newIdentity(t).Recipient}},
	}
}

// The present screen is exact however long ago something was drawn, at any moment, and after the server was killed.
func TestScreenByKeyframe(t *testing.T) {
	t.Parallel()
	for name, meta := range unreadable(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := t.TempDir()
			org, id := sess.NewOrgID(), sess.NewSessionID()
			out := painting(10 * recording.MinSegmentBytes)
			want := vt.New(100, 30)
			var at, ctl uint64
			for kill := 0; at < uint64(len(out)); kill++ {
				d, err := recording.OpenDir(path, recording.Options{SegmentBytes: recording.MinSegmentBytes})
				if err != nil {
					t.Fatal(err)
				}
				j, err := d.Open(org, id, meta)
				if err != nil {
					t.Fatal(err)
				}
				if at == 0 {
					b, err := sess.EncodeParams(sess.Params{TTY: true, Term: "xterm", Cols: 100, Rows: 30})
					if err != nil {
						t.Fatal(err)
					}
					h := data(wire.ChannelParams, 0)
					h.Flags = wire.FlagFIN
					if err := j.Append(sess.SideClient, h, b); err != nil {
						t.Fatal(err)
					}
				}
				for range 3 {
					n := min(uint64(len(out))-at, uint64(rand.IntN(recording.MinSegmentBytes)))
					_, _ = want.Write(out[at : at+n])
					at = appendAll(t, j, at, out[at:at+n])
					p, err := d.Present(org, id)
					if err != nil || p.Offset != at {
						t.Fatalf("at %d: Present as of %d, %v", at, p.Offset, err)
					}
					if d := cmp.Diff(seenOf(want), seen(p)); d != "" {
						t.Fatalf("at %d: the screen (+) is not the one there is (-):\n%s", at, d)
					}
				}
				if kill == 1 {
					want.Resize(90, 28)
					resize(t, j, &ctl, 90, 28)
				}
				killed := t.TempDir()
				for err := os.CopyFS(killed, os.DirFS(path)); err != nil; err = os.CopyFS(killed, os.DirFS(path)) {
					if !errors.Is(err, fs.ErrNotExist) {
						t.Fatal(err)
					}
					killed = t.TempDir() // a file that was being written got its name meanwhile
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				path = killed
			}
			var size int64
			for _, e := range entries(t, filepath.Join(path, string(org), string(id))) {
				if info, err := e.Info(); err == nil && filepath.Ext(e.Name()) != ".age" {
					size += info.Size()
				}
			}
			if size > 5*recording.MinSegmentBytes {
				t.Errorf("%d bytes in plain", size)
			}
			d := openDir(t, path)
			j, err := d.Open(org, id, meta)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := j.Close(true); err != nil {
				t.Fatal(err)
			}
			wantNowhere(t, path, "drawn once", "the title")
		})
	}
}

func seenOf(t *vt.Terminal) string {
	cols, rows := t.Size()
	return seen(recording.Present{Screen: t.Screen(), Cols: uint16(cols), Rows: uint16(rows)})
}

func resize(t *testing.T, j *recording.Journal, ctl *uint64, cols, rows uint16) {
	t.Helper()
	p, err := wire.EncodeCtl(wire.CtlResize, wire.Resize{Cols: cols, Rows: rows})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Append(sess.SideClient, wire.Header{Type: wire.Ctl, Offset: *ctl}, p); err != nil {
		t.Fatal(err)
	}
	*ctl++
}

// Screens that are asked for while output floods in are each the one of some moment not before that.
func TestScreenInAFlood(t *testing.T) {
	t.Parallel()
	metas := unreadable(t)
	metas["on"] = recording.Meta{Kind: sess.KindShell, TTY: true}
	for name, meta := range metas {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openDir(t, t.TempDir())
			org, id := sess.NewOrgID(), sess.NewSessionID()
			meta.Cols, meta.Rows = 80, 24
			j, err := d.Open(org, id, meta)
			if err != nil {
				t.Fatal(err)
			}
			out := painting(12 * recording.MinSegmentBytes)
			var wg sync.WaitGroup
			over := make(chan struct{})
			wg.Go(func() {
				defer close(over)
				appendAll(t, j, 0, out)
			})
			type look struct {
				from uint64
				recording.Present
			}
			var looks []look
			for flooding := true; flooding; {
				select {
				case <-over:
					flooding = false
				case <-time.After(time.Millisecond):
				}
				from, _ := j.End(sess.SideAgent, wireID(1))
				p, err := d.Present(org, id)
				if err != nil {
					t.Fatal(err)
				}
				looks = append(looks, look{from, p})
			}
			wg.Wait()
			want, at := vt.New(80, 24), uint64(0)
			for _, l := range looks {
				if l.Offset < l.from || l.Offset < at {
					t.Fatalf("a screen as of %d was asked for behind %d, the one before was of %d", l.Offset, l.from, at)
				}
				_, _ = want.Write(out[at:l.Offset])
				at = l.Offset
				if d := cmp.Diff(seenOf(want), seen(l.Present)); d != "" {
					t.Fatalf("the screen as of %d (+) is not the one there was (-):\n%s", at, d)
				}
			}
			t.Logf("%d screens", len(looks))
		})
	}
}

// A file of the ring that is written over while it is read looks as if its segment ended there: what lies behind it is found in the
// chain.
func TestScreenOfATornRing(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d, err := recording.OpenDir(path, recording.Options{SegmentBytes: recording.MinSegmentBytes})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	org, id := sess.NewOrgID(), sess.NewSessionID()
	j, err := d.Open(org, id, recording.Meta{Kind: sess.KindShell, TTY: true, Cols: 80, Rows: 24})
	if err != nil {
		t.Fatal(err)
	}
	out := painting(5 * recording.MinSegmentBytes / 2) // in three files of four
	at := appendAll(t, j, 0, out)
	dir := filepath.Join(path, string(org), string(id))
	chained := func() int {
		b, _ := os.ReadFile(filepath.Join(dir, "chain.jsonl"))
		return bytes.Count(b, []byte("\n"))
	}
	for deadline := time.Now().Add(10 * time.Second); chained() < 2; time.Sleep(time.Millisecond) { //nolint:forbidigo // polls
		if time.Now().After(deadline) {
			t.Fatalf("%d segments are in the chain", chained())
		}
	}
	rings, err := filepath.Glob(filepath.Join(dir, "ring-*"))
	if err != nil || len(rings) < 3 {
		t.Fatal(rings, err)
	}
	for _, ring := range rings[:2] {
		whole, err := os.ReadFile(ring)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(ring, recording.MinSegmentBytes/2); err != nil {
			t.Fatal(err)
		}
		p, err := d.Present(org, id)
		if err != nil || p.Offset != at {
			t.Errorf("with %s torn: the screen as of %d, %v, want %d", filepath.Base(ring), p.Offset, err, at)
		}
		if err := os.WriteFile(ring, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkPresent(b *testing.B) {
	key := newIdentity(b)
	for _, size := range []int{1 << 20, 32 << 20} {
		for name, meta := range map[string]recording.Meta{"on": {}, "encrypted": {Recipients: []string{key.Recipient}}} {
			b.Run(fmt.Sprintf("%s of %d MiB", name, size>>20), func(b *testing.B) {
				d, err := recording.OpenDir(b.TempDir(), recording.Options{})
				if err != nil {
					b.Fatal(err)
				}
				defer d.Close()
				org, id := sess.NewOrgID(), sess.NewSessionID()
				meta.Kind, meta.TTY = sess.KindShell, true
				j, err := d.Open(org, id, meta)
				if err != nil {
					b.Fatal(err)
				}
				appendAll(b, j, 0, bytes.ReplaceAll(likeOutput(size), []byte("\n"), []byte("\r\n"))[:size])
				for b.Loop() {
					if _, err := d.Present(org, id); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkTerminal(b *testing.B) {
	for name, p := range map[string][]byte{"text": bytes.ReplaceAll(likeOutput(1<<20), []byte("\n"), []byte("\r\n")), "painting": painting(1 << 20)} {
		b.Run(name, func(b *testing.B) {
			t := vt.New(200, 50)
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				_, _ = t.Write(p)
			}
		})
	}
}
