package wire_test

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// vectors are the frames of testdata/frames.txt: a name and the whole frame in hex. Another implementation can check
// itself against that file; -update is not offered on purpose: a released vector does not change.
func vectors(t *testing.T) map[string][]byte {
	t.Helper()
	f, err := os.Open("testdata/frames.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string][]byte{}
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		line, _, _ := strings.Cut(sc.Text(), "#")
		name, hx, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(hx, " ", ""))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = b
	}
	return out
}

func frame(h wire.Header, payload []byte) []byte {
	b := make([]byte, wire.HeaderSize, wire.HeaderSize+len(payload))
	h.Put(b)
	return append(b, payload...)
}

func ctl(t *testing.T, kind wire.CtlKind, v any) []byte {
	t.Helper()
	b, err := wire.EncodeCtl(kind, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func examples(t *testing.T) map[string][]byte {
	t.Helper()
	id := func(ch uint32) wire.StreamID { return wire.StreamID{Channel: ch} }
	return map[string][]byte{
		"data":     frame(wire.Header{Type: wire.Data, Channel: 1, Offset: 300}, []byte("hello")),
		"data-fin": frame(wire.Header{Type: wire.Data, Flags: wire.FlagFIN, Channel: 2, Offset: 1 << 40}, nil),
		"signal":   frame(wire.Header{Type: wire.Ctl, Offset: 2}, ctl(t, wire.CtlSignal, wire.Signal{Name: "SIGINT"})),
		"exit": frame(wire.Header{Type: wire.Ctl, Offset: 7}, ctl(t, wire.CtlExit, wire.Exit{
			Exit: sess.Exit{Status: 143, Signal: "SIGTERM"}, Finals: []wire.Final{{Channel: 1, Offset: 11}, {Channel: 2, Offset: 1}},
		})),
		"credit": frame(wire.Header{Type: wire.Credit}, wire.AppendCredit(nil,
			wire.StreamCredit{StreamID: id(0), Consumed: 3, Limit: 259}, wire.StreamCredit{StreamID: id(1), Consumed: 1000, Limit: 263144})),
		"ask": frame(wire.Header{Type: wire.Ask}, wire.AppendAsk(nil, wire.AskFrame{Epoch: 3, Round: 9, PeerHere: true})),
		"hello": frame(wire.Header{Type: wire.Hello}, wire.AppendHello(nil, wire.HelloFrame{
			Epoch: 3, Round: 9, Version: 1, Boot: "boo_x", Cols: 80, Rows: 24,
			Recv: []wire.RecvState{{StreamID: id(1), Recv: 500, Consumed: 490, Limit: 262634}},
			Send: []wire.SendState{{StreamID: id(1), Base: 100, Have: 228}},
			Exit: []byte(`{"status":0,"finals":null}`),
		})),
		"go": frame(wire.Header{Type: wire.Go}, wire.AppendGo(nil, wire.GoFrame{
			Epoch: 3, Round: 9, PeerHere: true,
			Send: []wire.SendGo{{StreamID: id(1), From: 120, Free: 100, Limit: 262244}},
			Recv: []wire.RecvGo{{StreamID: id(1), Start: 500}},
		})),
		"size":       frame(wire.Header{Type: wire.Size}, wire.AppendSize(nil, 200, 50)),
		"guest-data": frame(wire.Header{Type: wire.Data, Participant: 3, Channel: 1, Offset: 5}, []byte("ls")),
		"beat":       frame(wire.Header{Type: wire.Beat}, nil),
	}
}

func TestVectors(t *testing.T) {
	want := vectors(t)
	for name, got := range examples(t) {
		if !bytes.Equal(got, want[name]) {
			t.Errorf("%s\n got %x\nwant %x", name, got, want[name])
		}
		if _, _, err := wire.Decode(got); err != nil {
			t.Errorf("Decode(%s) = %v", name, err)
		}
	}
	for name := range want {
		if examples(t)[name] == nil {
			t.Errorf("vector %s has no example", name)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	ok := frame(wire.Header{Type: wire.Data, Channel: 1}, []byte("x"))
	with := func(i int, b byte) []byte {
		f := bytes.Clone(ok)
		f[i] = b
		return f
	}
	for _, tt := range []struct {
		name  string
		frame []byte
		want  error
	}{
		{"empty", nil, wire.ErrShort},
		{"half a header", ok[:8], wire.ErrShort},
		{"too long", make([]byte, wire.MaxFrame+1), wire.ErrLong},
		{"type 0", with(0, 0), wire.ErrType},
		{"unknown type", with(0, 0x7f), wire.ErrType},
		{"unknown flag", with(1, 2), wire.ErrFlags},
		{"FIN on ctl", frame(wire.Header{Type: wire.Ctl, Flags: wire.FlagFIN}, []byte{1, '{', '}'}), wire.ErrFlags},
		{"offset out of range", with(8, 0xff), wire.ErrOffset},
		{"data on channel 0", with(7, 0), wire.ErrPayload},
		{"data without bytes", ok[:wire.HeaderSize], wire.ErrPayload},
		{"ctl on channel 1", frame(wire.Header{Type: wire.Ctl, Channel: 1}, []byte{1, '{', '}'}), wire.ErrPayload},
	} {
		if _, _, err := wire.Decode(tt.frame); !errors.Is(err, tt.want) {
			t.Errorf("Decode(%s) = %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, _, err := wire.Decode(with(0, 0x80)); err != nil {
		t.Errorf("Decode of a type to be skipped = %v, want nil", err)
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		off := rapid.Uint64Range(0, wire.MaxOffset/4)
		id := rapid.Custom(func(t *rapid.T) wire.StreamID {
			return wire.StreamID{Channel: rapid.Uint32().Draw(t, "channel"), Participant: rapid.Uint16().Draw(t, "participant")}
		})
		recv := rapid.Custom(func(t *rapid.T) wire.RecvState {
			c := off.Draw(t, "consumed")
			return wire.RecvState{StreamID: id.Draw(t, "id"), Consumed: c, Recv: c + off.Draw(t, "recv"), Limit: c + off.Draw(t, "limit")}
		})
		send := rapid.Custom(func(t *rapid.T) wire.SendState {
			b := off.Draw(t, "base")
			return wire.SendState{StreamID: id.Draw(t, "id"), Base: b, Have: b + off.Draw(t, "have")}
		})
		h := wire.HelloFrame{
			Version: rapid.Uint16().Draw(t, "version"), Epoch: off.Draw(t, "epoch"), Round: off.Draw(t, "round"),
			Fresh: rapid.Bool().Draw(t, "fresh"), Done: rapid.Bool().Draw(t, "done"), Boot: rapid.StringN(0, 10, 64).Draw(t, "boot"),
			Cols: rapid.Uint16().Draw(t, "cols"), Recv: rapid.SliceOfN(recv, 1, 20).Draw(t, "recv"), Send: rapid.SliceOfN(send, 1, 20).Draw(t, "send"),
		}
		got, err := wire.DecodeHello(wire.AppendHello(nil, h))
		if diff := cmp.Diff(h, got); err != nil || diff != "" {
			t.Fatalf("hello: %v\n%s", err, diff)
		}
		c := wire.StreamCredit{StreamID: id.Draw(t, "id"), Consumed: off.Draw(t, "c")}
		c.Limit = c.Consumed + off.Draw(t, "l")
		cs, err := wire.DecodeCredit(wire.AppendCredit(nil, c), nil)
		if diff := cmp.Diff([]wire.StreamCredit{c}, cs); err != nil || diff != "" {
			t.Fatalf("credit: %v\n%s", err, diff)
		}
	})
}

// TestFullHelloFits: a hello of as many streams as may be open fits one frame.
func TestFullHelloFits(t *testing.T) {
	var h wire.HelloFrame
	for ch := range uint32(wire.MaxStreams) {
		id := wire.StreamID{Channel: ch}
		h.Recv = append(h.Recv, wire.RecvState{StreamID: id, Recv: 1 << 44, Consumed: 1<<44 - 1<<21, Limit: 1<<44 + 1<<21})
		h.Send = append(h.Send, wire.SendState{StreamID: id, Base: 1 << 44, Have: 1<<44 + 1<<21})
	}
	if n := len(wire.AppendHello(nil, h)); n > wire.MaxPayload {
		t.Errorf("a full hello takes %d bytes, more than %d", n, wire.MaxPayload)
	}
}

func TestSignedIsForOnePurposeAndOneKey(t *testing.T) {
	pub, key, _ := ed25519.GenerateKey(nil)
	other, otherKey, _ := ed25519.GenerateKey(nil)
	offer := wire.Offer{Session: "ses_x", Nonce: "n"}
	s, err := wire.Sign(key, wire.PurposeOffer, offer)
	if err != nil {
		t.Fatal(err)
	}
	var got wire.Offer
	if err := s.Verify([]ed25519.PublicKey{other, pub}, wire.PurposeOffer, &got); err != nil || got.Session != "ses_x" {
		t.Errorf("Verify = %v, %+v", err, got)
	}
	if s.Verify([]ed25519.PublicKey{pub}, wire.PurposeOrder, &got) == nil {
		t.Error("an offer passes for an order")
	}
	if s.Verify([]ed25519.PublicKey{other}, wire.PurposeOffer, &got) == nil {
		t.Error("a key that is not pinned passes")
	}
	forged, _ := wire.Sign(otherKey, wire.PurposeOffer, offer)
	forged.Key = pub
	if forged.Verify([]ed25519.PublicKey{pub}, wire.PurposeOffer, &got) == nil {
		t.Error("a signature by another key passes under a pinned one's name")
	}
	s.Body[len(s.Body)/2] ^= 1
	if s.Verify([]ed25519.PublicKey{pub}, wire.PurposeOffer, &got) == nil {
		t.Error("a changed offer passes")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 'x'})
	f.Add(frame(wire.Header{Type: wire.Hello}, wire.AppendHello(nil, wire.HelloFrame{Recv: make([]wire.RecvState, 3), Exit: []byte("{}")})))
	f.Add(frame(wire.Header{Type: wire.Go}, wire.AppendGo(nil, wire.GoFrame{Send: make([]wire.SendGo, 2)})))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, p, err := wire.Decode(b)
		if err != nil {
			return
		}
		if h.Type == wire.Data && wire.Span(h, p) < h.Offset {
			t.Fatal("a frame ends before it begins")
		}
		switch h.Type {
		case wire.Hello:
			v, err := wire.DecodeHello(p)
			if err != nil {
				return
			}
			for _, s := range v.Recv {
				if s.Consumed > s.Recv {
					t.Fatalf("consumed %d of %d received", s.Consumed, s.Recv)
				}
			}
			if again, err := wire.DecodeHello(wire.AppendHello(nil, v)); err != nil || cmp.Diff(v, again) != "" {
				t.Fatalf("hello changes when encoded again: %v", err)
			}
		case wire.Go:
			_, _ = wire.DecodeGo(p)
		case wire.Credit:
			_, _ = wire.DecodeCredit(p, nil)
		case wire.Size:
			_, _, _ = wire.DecodeSize(p)
		case wire.Ask:
			_, _ = wire.DecodeAsk(p)
		case wire.Ctl:
			_, _, _ = wire.DecodeCtl(p)
		}
	})
}
