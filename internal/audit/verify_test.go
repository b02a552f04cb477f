package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sessctl/sess/internal/audit"
)

var exportTime = time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)

func newSigner(tb testing.TB, seed byte) *audit.Signer {
	tb.Helper()
	s, err := audit.NewSigner("sess.example", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func bodies(tb testing.TB, n int) [][]byte {
	tb.Helper()
	var out [][]byte
	for i := range n {
		b, err := sample(i).Encode()
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// export writes a log with a checkpoint every `every` events.
func export(tb testing.TB, s *audit.Signer, events [][]byte, every int, unplaced ...[]byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := audit.NewWriter(&b, audit.Header{Log: "org_a", Size: int64(len(events)), Key: s.VerifierKey(), Time: exportTime})
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	must(err)
	var tree audit.Tree
	for i, e := range events {
		must(w.Event(int64(i), e, tree.Append(e)))
		if n := i + 1; every > 0 && n%every == 0 && n < len(events) {
			must(w.Checkpoint(signed(tb, s, "org_a", &tree)))
		}
	}
	for _, e := range unplaced {
		must(w.Unplaced(e))
	}
	must(w.Checkpoint(signed(tb, s, "org_a", &tree)))
	must(w.Close())
	return b.Bytes()
}

func signed(tb testing.TB, s *audit.Signer, log string, tree *audit.Tree) string {
	tb.Helper()
	c, err := s.Checkpoint(audit.Checkpoint{Log: log, Size: tree.Size(), Root: tree.Root()})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func verify(tb testing.TB, s *audit.Signer, file []byte, o audit.Options) *audit.Report {
	tb.Helper()
	r, err := audit.Verify(bytes.NewReader(file), s.VerifierKey(), o)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func problems(r *audit.Report) string {
	var all []string
	for _, p := range r.Problems {
		all = append(all, p.String())
	}
	return strings.Join(all, "\n")
}

func TestTreeIsThatOfTlog(t *testing.T) {
	var tree audit.Tree
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(idx []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range idx {
			out = append(out, hashes[i])
		}
		return out, nil
	})
	for n := int64(0); n < 200; n++ {
		want, err := tlog.TreeHash(n, reader)
		if n > 0 && (err != nil || tree.Root() != want) {
			t.Fatalf("%d leaves: %v, want %v (%v)", n, tree.Root(), want, err)
		}
		body := fmt.Appendf(nil, "event %d", n)
		more, err := tlog.StoredHashes(n, body, reader)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, more...)
		tree.Append(body)
	}
}

func TestVerifyAcceptsAGoodLog(t *testing.T) {
	s := newSigner(t, 1)
	for _, n := range []int{0, 1, 2, 3, 7, 8, 9, 100} {
		var seen int
		r := verify(t, s, export(t, s, bodies(t, n), 4), audit.Options{Log: "org_a", OnEvent: func(int64, []byte) { seen++ }})
		if !r.OK() || r.Size != int64(n) || r.Log != "org_a" || seen != n || r.Checkpoint == "" {
			t.Errorf("%d events: %+v", n, r)
		}
	}
}

// One flipped bit anywhere is found, except in the time of the header, which is for people and says so.
func TestVerifyFindsEveryFlippedByte(t *testing.T) {
	s := newSigner(t, 1)
	file := export(t, s, bodies(t, 2), 1)
	from := bytes.Index(file, []byte(`"time":"`)) // of the header
	to := from + bytes.IndexByte(file[from:], '}')
	for i := range file {
		if i >= from && i < to {
			continue
		}
		for _, bit := range []byte{1, 0x20} {
			bad := bytes.Clone(file)
			bad[i] ^= bit
			r, err := audit.Verify(bytes.NewReader(bad), s.VerifierKey(), audit.Options{})
			if err == nil && r.OK() {
				t.Fatalf("byte %d, %q → %q, in …%s… is not found", i, file[i], bad[i], file[max(0, i-30):min(len(file), i+30)])
			}
		}
	}
}

func TestVerifySaysWhichEvent(t *testing.T) {
	s := newSigner(t, 1)
	file := export(t, s, bodies(t, 20), 5)
	changed := bytes.Replace(file, []byte(`evt_0012`), []byte(`evt_9912`), 1)
	r := verify(t, s, changed, audit.Options{})
	if r.OK() || r.Problems[0].Index != 12 || r.Problems[0].Event != "evt_9912" {
		t.Errorf("a changed event:\n%s", problems(r))
	}
	// Who also fits the hash is caught by the signed root, and it is known between which checkpoints it happened.
	events := bodies(t, 20)
	whole := export(t, s, events, 5)
	events[12] = bytes.Replace(events[12], []byte("ada@"), []byte("eve@"), 1)
	forged := export(t, s, events, 5) // signed again with the right key: take only its event line
	lines, fl := bytes.SplitAfter(whole, []byte("\n")), bytes.SplitAfter(forged, []byte("\n"))
	at := slices.IndexFunc(lines, func(l []byte) bool { return bytes.HasPrefix(l, []byte(`{"idx":12,`)) })
	lines[at] = fl[at]
	r = verify(t, s, bytes.Join(lines, nil), audit.Options{})
	if r.OK() || !strings.Contains(problems(r), "from 10 to 14") {
		t.Errorf("a changed event with its hash:\n%s", problems(r))
	}
}

func TestVerifyFindsRemovedReorderedAddedAndCut(t *testing.T) {
	s := newSigner(t, 1)
	file := export(t, s, bodies(t, 12), 4)
	lines := bytes.SplitAfter(bytes.TrimSuffix(file, []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
	bad := func(name string, lines [][]byte) {
		t.Helper()
		if r := verify(t, s, bytes.Join(lines, nil), audit.Options{}); r.OK() {
			t.Errorf("%s is not found", name)
		}
	}
	for i := 1; i < len(lines); i++ {
		if !bytes.HasPrefix(lines[i], []byte(`{"checkpoint"`)) || i == len(lines)-1 {
			bad(fmt.Sprintf("line %d removed", i+1), slices.Delete(slices.Clone(lines), i, i+1))
		}
		if i+1 < len(lines) && !bytes.HasPrefix(lines[i], []byte(`{"checkpoint"`)) && !bytes.HasPrefix(lines[i+1], []byte(`{"checkpoint"`)) {
			swapped := slices.Clone(lines)
			swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
			bad(fmt.Sprintf("lines %d and %d swapped", i+1, i+2), swapped)
		}
		bad(fmt.Sprintf("cut behind line %d", i), lines[:i])
		if bytes.HasPrefix(lines[i], []byte(`{"idx"`)) {
			bad(fmt.Sprintf("line %d twice", i+1), slices.Insert(slices.Clone(lines), i, lines[i]))
		}
	}
	for n := len(lines[0]); n < len(file); n += 41 {
		if r, err := audit.Verify(bytes.NewReader(file[:n]), s.VerifierKey(), audit.Options{}); err == nil && r.OK() {
			t.Errorf("cut at byte %d is not found", n)
		}
	}
	r := verify(t, s, bytes.Join(slices.Delete(slices.Clone(lines), 3, 4), nil), audit.Options{})
	if r.Problems[0].Index != 2 || r.Problems[0].What != "missing" {
		t.Errorf("which event is missing:\n%s", problems(r))
	}
}

func TestVerifyFindsEventsThatNeverGotAPlace(t *testing.T) {
	s := newSigner(t, 1)
	old, fresh := sample(1), sample(2)
	old.ID, fresh.ID = "evt_old", "evt_fresh"
	fresh.Time = exportTime.Add(-time.Second)
	var lost [][]byte
	for _, e := range []audit.Event{old, fresh} {
		b, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		lost = append(lost, b)
	}
	r := verify(t, s, export(t, s, bodies(t, 3), 0, lost...), audit.Options{})
	if r.Unplaced != 2 || len(r.Problems) != 1 || r.Problems[0].Event != "evt_old" {
		t.Errorf("%+v", r)
	}
}

func TestVerifyAgainstAnEarlierCheckpoint(t *testing.T) {
	s := newSigner(t, 1)
	events := bodies(t, 10)
	kept := verify(t, s, export(t, s, events[:6], 0), audit.Options{}).Checkpoint
	if r := verify(t, s, export(t, s, events, 0), audit.Options{Checkpoint: kept}); !r.OK() {
		t.Errorf("a log that went on:\n%s", problems(r))
	}
	// Whoever holds the key can sign another past; who kept a checkpoint sees it.
	other := slices.Clone(events)
	other[3] = bytes.Replace(other[3], []byte("ada@"), []byte("eve@"), 1)
	if r := verify(t, s, export(t, s, other, 0), audit.Options{Checkpoint: kept}); r.OK() {
		t.Error("a rewritten past is not found")
	}
	if r := verify(t, s, export(t, s, events[:5], 0), audit.Options{Checkpoint: kept}); r.OK() {
		t.Error("a log that became shorter is not found")
	}
	var tree audit.Tree
	if _, err := audit.Verify(bytes.NewReader(nil), s.VerifierKey(), audit.Options{Checkpoint: signed(t, newSigner(t, 2), "org_a", &tree)}); err == nil {
		t.Error("a checkpoint of another key is accepted")
	}
}

func TestVerifyNeedsTheRightKeyAndLog(t *testing.T) {
	s := newSigner(t, 1)
	file := export(t, s, bodies(t, 3), 0)
	if r := verify(t, newSigner(t, 2), file, audit.Options{}); r.OK() {
		t.Error("another key verifies it")
	}
	if r := verify(t, s, file, audit.Options{Log: "org_b"}); r.OK() {
		t.Error("it passes for another log")
	}
	for _, key := range []string{"", "nonsense", strings.Replace(s.VerifierKey(), "sess.example", "evil.example", 1)} {
		if _, err := audit.Verify(bytes.NewReader(file), key, audit.Options{}); err == nil {
			t.Errorf("the key %q is accepted", key)
		}
	}
	for _, text := range []string{"", "\n", "{}\n", "not JSON\n", `{"sess_audit_export":2,"log":"org_a"}` + "\n", strings.Repeat("x", 1<<20)} {
		if _, err := audit.Verify(strings.NewReader(text), s.VerifierKey(), audit.Options{}); err == nil {
			t.Errorf("%.40q passes for an export", text)
		}
	}
}

func TestVerifyIsBounded(t *testing.T) {
	s := newSigner(t, 1)
	file := export(t, s, bodies(t, 2), 0)
	header, rest, _ := bytes.Cut(file, []byte("\n"))
	long := slices.Concat(header, []byte("\n"), bytes.Repeat([]byte("y"), 4<<20), []byte("\n"), rest)
	r := verify(t, s, long, audit.Options{})
	if len(r.Problems) != 1 || r.Problems[0].Line != 2 {
		t.Errorf("a long line:\n%s", problems(r))
	}
	many := slices.Concat(header, []byte("\n"), bytes.Repeat([]byte("y\n"), 5000), rest)
	if r := verify(t, s, many, audit.Options{}); len(r.Problems) != 100 || r.More != 4900 {
		t.Errorf("many bad lines: %d problems and %d more", len(r.Problems), r.More)
	}
}

func FuzzReader(f *testing.F) {
	s := newSigner(f, 1)
	file := export(f, s, bodies(f, 3), 2, bodies(f, 5)[4])
	f.Add(file)
	f.Add(bytes.Replace(file, []byte(`"idx":1`), []byte(`"idx":-1`), 1))
	f.Add(file[:len(file)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := audit.Verify(bytes.NewReader(data), s.VerifierKey(), audit.Options{OnEvent: func(_ int64, body []byte) {
			if len(body) > audit.MaxEvent {
				t.Fatal("an event beyond the limit")
			}
		}})
		if err != nil {
			return
		}
		if len(r.Problems) > 100 {
			t.Fatalf("%d problems", len(r.Problems))
		}
		// The key signed three events and nothing else: whatever passes holds their very bytes (the first two alone were
		// signed too).
		if r.OK() {
			for i, want := range bodies(t, int(r.Size)) {
				x, err := audit.NewReader(bytes.NewReader(data))
				if err != nil {
					t.Fatal(err)
				}
				found := false
				for rec, err := x.Next(); err == nil; rec, err = x.Next() {
					found = found || (rec.Index == int64(i) && bytes.Equal(rec.Body, want))
				}
				if !found {
					t.Fatalf("event %d passes and is another", i)
				}
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	s := newSigner(b, 1)
	file := export(b, s, bodies(b, 10_000), 500)
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if r := verify(b, s, file, audit.Options{}); !r.OK() {
			b.Fatal(problems(r))
		}
	}
}
