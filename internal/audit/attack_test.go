package audit_test

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sessctl/sess/internal/audit"
)

// soon fails the test when f has not returned after a moment: what it is given was made to keep it busy for ever.
func soon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatalf("%s: still at it after 5 s", what)
	}
}

// TestSizesOfAHostileLogEndSoon: who holds the key can sign any size, and anybody can write a file. Places so high that
// sums of them overflow must not keep an auditor's program busy, or fill its memory.
func TestSizesOfAHostileLogEndSoon(t *testing.T) {
	s := newSigner(t, 1)
	hash := tlog.Hash{1}
	for _, size := range []int64{1<<48 + 1, 1<<62 + 1, math.MaxInt64} {
		note, err := s.Checkpoint(audit.Checkpoint{Log: "org_a", Size: size, Root: hash})
		if err != nil {
			t.Fatal(err)
		}
		old, err := s.Checkpoint(audit.Checkpoint{Log: "org_a", Size: 3, Root: hash})
		if err != nil {
			t.Fatal(err)
		}
		from, err := audit.OpenCheckpoint(old, s.VerifierKey())
		if err != nil {
			t.Fatal(err)
		}
		soon(t, "proof of an event", func() {
			p := audit.Proof{Version: 1, Kind: audit.ProofEvent, Index: 1, Event: "{}", Hashes: []string{hash.String(), hash.String()}, Checkpoint: note}
			if _, _, err := p.VerifyEvent(s.VerifierKey()); err == nil {
				t.Errorf("size %d: proved", size)
			}
		})
		soon(t, "proof that a log grew", func() {
			p := audit.Proof{Version: 1, Kind: audit.ProofConsistency, From: 3, Hashes: []string{hash.String(), hash.String()}, Checkpoint: note}
			if _, err := p.VerifyConsistency(from, s.VerifierKey()); err == nil {
				t.Errorf("size %d: proved", size)
			}
		})
	}
	for _, file := range []string{
		`{"sess_audit_export":2,"log":"org_a","size":4611686018427387905,"key":"k","time":"2026-03-01T13:00:00Z","range":true,"first":4611686018427387904}` + "\n" +
			`{"before":["` + hash.String() + `"]}` + "\n" + `{"after":["` + hash.String() + `"],"to":9223372036854775807}` + "\n",
		`{"sess_audit_export":2,"log":"org_a","size":1,"key":"k","time":"2026-03-01T13:00:00Z","range":true}` + "\n" +
			`{"after":["` + hash.String() + `"],"to":9223372036854775807}` + "\n",
		`{"sess_audit_export":2,"log":"org_a","size":1,"key":"k","time":"2026-03-01T13:00:00Z","range":true}` + "\n" +
			`{"after":["` + hash.String() + `"],"to":-9223372036854775808}` + "\n",
		`{"sess_audit_export":1,"log":"org_a","size":1,"key":"k","time":"2026-03-01T13:00:00Z"}` + "\n" +
			`{"idx":9223372036854775807,"hash":"` + hash.String() + `","body":"{}"}` + "\n",
	} {
		soon(t, "export", func() {
			r, err := audit.Verify(strings.NewReader(file), s.VerifierKey(), audit.Options{})
			if err == nil && r.OK() {
				t.Errorf("whole: %s", bytes.TrimSpace([]byte(file)))
			}
		})
	}
}
