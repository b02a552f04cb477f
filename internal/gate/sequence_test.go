package gate_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/trail"
)

func newSequencer(tb testing.TB, h house) (*audit.Sequencer, *audit.Signer) {
	tb.Helper()
	s, err := audit.NewSigner("sess.example", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)))
	if err != nil {
		tb.Fatal(err)
	}
	return audit.NewSequencer(gate.Rows(h.db), s, nil), s
}

// look writes an event through the gate.
func (h house) look(tb testing.TB) {
	tb.Helper()
	if err := h.Read(tb.Context(), who(admin), policy.Whoami, policy.Org(org), func(*gate.Tx) error { return nil }); err != nil {
		tb.Error(err)
	}
}

func (h house) verify(t *testing.T, vkey string) *audit.Report {
	t.Helper()
	r, err := trail.VerifyLog(t.Context(), h.db, string(org), vkey, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (h house) export(t *testing.T, vkey string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := trail.Export(t.Context(), h.db, string(org), vkey, trail.Range{}, time.Now(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func text(r *audit.Report) string {
	var b strings.Builder
	for _, p := range r.Problems {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}

// Several servers sequence the same log while others write: no gap, no place twice, and it verifies.
func TestSequencersAreGapFreeAmongWriters(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		_, signer := newSequencer(t, h)
		ctx, stop := context.WithCancel(t.Context())
		var servers, writers sync.WaitGroup
		for range 3 {
			q, _ := newSequencer(t, h)
			servers.Go(func() {
				for ctx.Err() == nil {
					if err := q.Flush(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, audit.ErrRaced) {
						t.Error(err)
						return
					}
					<-time.After(3 * time.Millisecond)
				}
			})
		}
		const each, many = 25, 4
		for range many {
			writers.Go(func() {
				for range each {
					h.look(t)
				}
			})
		}
		writers.Wait()
		stop()
		servers.Wait()
		q, _ := newSequencer(t, h)
		if err := q.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := h.verify(t, signer.VerifierKey())
		if !r.OK() || r.Size != each*many || r.Unplaced != 0 {
			t.Errorf("%d of %d, %d without a place\n%s", r.Size, each*many, r.Unplaced, text(r))
		}
		file := h.export(t, signer.VerifierKey())
		off, err := audit.Verify(bytes.NewReader(file), signer.VerifierKey(), audit.Options{Log: string(org), Checkpoint: r.Checkpoint})
		if err != nil || !off.OK() || off.Size != r.Size || off.Root != r.Root {
			t.Errorf("offline: %v, %d, %s", err, off.Size, text(off))
		}
	})
}

// Who can write the database can't change the log unseen: neither the server's own check nor the exported file passes.
func TestVerifyFindsTamperingInTheDatabase(t *testing.T) {
	for name, c := range map[string]struct {
		sql     []string
		says    string
		columns bool // seen where the log is stored only: the export has the bytes, which are right

		sqliteOnly bool
	}{
		"body changed":       {[]string{`UPDATE audit_event SET body = REPLACE(body, 'usr_admin', 'usr_other') WHERE idx = 3`}, "event 3: evt_", false, false},
		"event removed":      {[]string{`DELETE FROM audit_event WHERE idx = 3`}, "event 3: missing", false, false},
		"last event removed": {[]string{`DELETE FROM audit_event WHERE idx = 7`}, "events are missing", false, true},
		"places exchanged": {[]string{
			`UPDATE audit_event SET idx = 100 WHERE idx = 2`, `UPDATE audit_event SET idx = 2 WHERE idx = 3`, `UPDATE audit_event SET idx = 3 WHERE idx = 100`,
		}, "event 2: evt_", false, true},
		"event taken out of the tree": {[]string{
			`UPDATE audit_event SET idx = NULL, created_at = 1, body = REPLACE(body, '"time":"2', '"time":"1') WHERE idx = 3`,
		}, "never got a place", false, false},
		"event added": {[]string{
			`INSERT INTO audit_event SELECT log, 'evt_forged', created_at, 8, action, outcome, who, session, body, area, who_id, on_id, on_name, instance, address FROM audit_event WHERE idx = 7`,
		}, "events were added", false, true},
		"far place":           {[]string{`UPDATE audit_event SET idx = 4611686018427387904 WHERE idx = 7`}, "event 7: missing", false, true},
		"leaf hash changed":   {[]string{`UPDATE audit_hash SET hash = (SELECT hash FROM audit_hash WHERE idx = 1) WHERE idx = 0`}, "event 0: evt_", false, true},
		"leaf hash removed":   {[]string{`DELETE FROM audit_hash WHERE idx = 0`}, "its hash is missing", false, true},
		"inner hash changed":  {[]string{`UPDATE audit_hash SET hash = (SELECT hash FROM audit_hash WHERE idx = 1) WHERE idx = 14`}, "don't belong together", true, true},
		"column changed":      {[]string{`UPDATE audit_event SET outcome = 'refused' WHERE idx = 3`}, "the columns were changed", true, false},
		"checkpoint changed":  {[]string{`UPDATE audit_checkpoint SET note = REPLACE(note, '` + "\n8\n" + `', '` + "\n9\n" + `')`}, "not signed", false, true},
		"checkpoints removed": {[]string{`DELETE FROM audit_checkpoint`}, "no signed checkpoint", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			each := eachRaw
			if c.sqliteOnly {
				each = onlySQLite // what is looked for is the same; a database each takes its time
			}
			each(t, func(t *testing.T, db *store.DB, exec func(string, ...any)) {
				h := newHouse(t, db)
				q, signer := newSequencer(t, h)
				for range 8 {
					h.look(t)
				}
				if err := q.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				if r := h.verify(t, signer.VerifierKey()); !r.OK() || r.Size != 8 {
					t.Fatalf("untouched: %d\n%s", r.Size, text(r))
				}
				for _, s := range c.sql {
					exec(s)
				}
				r := h.verify(t, signer.VerifierKey())
				if r.OK() || !strings.Contains(text(r), c.says) {
					t.Errorf("where it is stored, want %q:\n%s", c.says, text(r))
				}
				off, err := audit.Verify(bytes.NewReader(h.export(t, signer.VerifierKey())), signer.VerifierKey(), audit.Options{})
				if err != nil || off.OK() != c.columns {
					t.Errorf("offline: %v\n%s", err, text(off))
				}
			})
		})
	}
}

func TestLongLogIsWalkedInPages(t *testing.T) {
	h := newHouse(t, storetest.SQLite(t))
	q, signer := newSequencer(t, h)
	const n = 120 // times ten
	for i := range n {
		storetest.Write(t, h.db, func(ctx context.Context, tx *store.Tx) error {
			for range 10 {
				if err := h.Event(ctx, tx, gate.Entry{Who: sess.System(org), Action: policy.SessionEnded}); err != nil {
					return err
				}
			}
			return nil
		})
		if i%11 == 0 {
			if err := q.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := q.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := h.verify(t, signer.VerifierKey())
	file := h.export(t, signer.VerifierKey())
	if !r.OK() || r.Size != 10*n || bytes.Count(file, []byte(`{"checkpoint"`)) < 3 {
		t.Errorf("%d, %d checkpoints\n%s", r.Size, bytes.Count(file, []byte(`{"checkpoint"`)), text(r))
	}
	off, err := audit.Verify(bytes.NewReader(file), signer.VerifierKey(), audit.Options{})
	if err != nil || !off.OK() || off.Size != r.Size {
		t.Errorf("offline: %v %d\n%s", err, off.Size, text(off))
	}
}
