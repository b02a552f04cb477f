package trail_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/trail"
)

func filters(f api.AuditFilter) api.AuditIn { return api.AuditIn{AuditFilter: f} }

// Each filter finds what it names and nothing else, and pages give every event once.
func TestListFilters(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		at := time.Now().Add(-time.Hour).Truncate(time.Second)
		w.add(0, 5, at)
		if _, err := w.List(t.Context(), who(operator), api.AuditIn{}); !errors.Is(err, sess.ErrDenied) {
			t.Fatal(err)
		}
		if _, err := w.List(t.Context(), who(admin), api.AuditIn{}); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			f    api.AuditFilter
			want int
		}{
			"area":           {api.AuditFilter{Action: "session:*"}, 5},
			"action":         {api.AuditFilter{Action: "session:ended"}, 5},
			"other action":   {api.AuditFilter{Action: "session:start"}, 0},
			"who":            {api.AuditFilter{Who: "sess-server"}, 5},
			"who by id":      {api.AuditFilter{Who: string(operator)}, 1},
			"outcome":        {api.AuditFilter{Outcome: "refused"}, 1},
			"session":        {api.AuditFilter{Session: "ses_1"}, 5},
			"on":             {api.AuditFilter{On: string(org)}, -1},
			"instance":       {api.AuditFilter{Instance: "ins_aaaaaaaaaaaaaaaa"}, 5},
			"other instance": {api.AuditFilter{Instance: "ins_bbbbbbbbbbbbbbbb"}, 0},
			"address":        {api.AuditFilter{Address: "192.0.2.7", Outcome: "refused"}, 1},
			"until":          {api.AuditFilter{Until: at.Add(time.Minute).Format(time.RFC3339)}, 5},
			"since":          {api.AuditFilter{Since: at.Add(time.Minute).Format(time.RFC3339), Outcome: "refused"}, 1},
		} {
			out, err := w.List(t.Context(), who(admin), filters(c.f))
			if err != nil || c.want >= 0 && len(out.Items) != c.want || c.want < 0 && len(out.Items) == 0 {
				t.Errorf("%s: %d events, %v", name, len(out.Items), err)
			}
		}
		for _, f := range []api.AuditFilter{{Action: "ses*"}, {Since: "yesterday"}} {
			if _, err := w.List(t.Context(), who(admin), filters(f)); !errors.Is(err, sess.ErrInvalid) {
				t.Errorf("%+v: %v", f, err)
			}
		}
		if _, err := w.List(t.Context(), who(admin), filters(api.AuditFilter{Instance: "gone"})); !errors.Is(err, sess.ErrNotFound) {
			t.Error(err)
		}
		var got []string
		in := filters(api.AuditFilter{Action: "session:*"})
		for in.Limit = 2; ; {
			out, err := w.List(t.Context(), who(admin), in)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range out.Items {
				got = append(got, number(e.Raw))
			}
			if in.After = out.Next; in.After == "" {
				break
			}
		}
		if !slices.Equal(got, []string{"4", "3", "2", "1", "0"}) {
			t.Errorf("pages give %v", got)
		}
	})
}

// lines is what Watch writes to.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lines) Flush() error { return nil }

// seen gives the numbers of the events, and where to go on.
func (l *lines) seen(t *testing.T) (list []string, next int64) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	d := json.NewDecoder(bytes.NewReader(l.b.Bytes()))
	for {
		var line api.AuditWatchLine
		if err := d.Decode(&line); errors.Is(err, io.EOF) {
			return list, next
		} else if err != nil {
			t.Fatal(err)
		}
		next = line.Next
		if line.Event != nil {
			list = append(list, number(line.Event.Raw))
		}
	}
}

// Who watches gets every event once, those too that were written early and placed late, over answers that break off.
func TestWatchLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	w.add(0, 3, time.Now())
	w.flush()
	first, err := w.List(t.Context(), who(admin), filters(api.AuditFilter{Action: "session:ended"}))
	if err != nil || len(first.Items) != 3 || first.Size != 3 {
		t.Fatalf("%d of %d, %v", len(first.Items), first.Size, err)
	}
	next, want := first.Size, []string{}
	var got []string
	for round := range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		var out lines
		ended := make(chan error, 1)
		go func() {
			ended <- w.Watch(ctx, who(admin), api.AuditWatchIn{From: next, AuditFilter: api.AuditFilter{Action: "session:ended"}}, func() trail.Flusher { return &out })
		}()
		for i := range 5 {
			n := 10 + round*5 + i
			at := time.Now()
			if i == 3 {
				at = at.Add(-time.Hour) // it was written long ago, and only now committed
			}
			w.add(n, n+1, at)
			want = append(want, fmt.Sprint(n))
			if i%2 == 0 {
				w.flush()
			}
		}
		w.flush()
		until(t, "the events come", func() error {
			if list, _ := out.seen(t); len(list) < 5 {
				return fmt.Errorf("%v so far", list)
			}
			return nil
		})
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		list, at := out.seen(t)
		got, next = append(got, list...), at
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("watched %v, want %v", got, want)
	}
	// Each answer is one event: watching does not feed itself.
	out, err := w.List(t.Context(), who(admin), filters(api.AuditFilter{Action: string(policy.AuditWatch)}))
	if err != nil || len(out.Items) != 4 {
		t.Errorf("%d events of watching, %v", len(out.Items), err)
	}
}

// A range verifies by itself, at whatever events it begins and ends; what is changed in it is found.
func TestRangesVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const n = 23
	for i := range n {
		w.add(i, i+1, base.Add(time.Duration(i)*time.Minute))
		if i%3 == 0 {
			w.flush()
		}
	}
	w.flush()
	key := w.signer.VerifierKey()
	for from := 0; from <= n; from += 2 {
		for to := from; to <= n; to += 3 {
			r := trail.Range{Since: base.Add(time.Duration(from) * time.Minute), Until: base.Add(time.Duration(to) * time.Minute)}
			var b bytes.Buffer
			if err := trail.Export(t.Context(), w.db, string(org), key, r, time.Now(), &b); err != nil {
				t.Fatal(err)
			}
			rep, err := audit.Verify(bytes.NewReader(b.Bytes()), key, audit.Options{Log: string(org)})
			if err != nil || !rep.OK() {
				t.Fatalf("%d to %d: %v %v\n%s", from, to, err, rep, b.Bytes())
			}
			if int(rep.End-rep.First) != to-from || to > from && int(rep.First) != from {
				t.Errorf("%d to %d has those from %d to %d", from, to, rep.First, rep.End)
			}
			if from > 4 && to-from > 6 {
				tamper(t, key, b.Bytes())
			}
		}
	}
}

func tamper(t *testing.T, key string, file []byte) {
	t.Helper()
	split := bytes.SplitAfter(bytes.TrimSuffix(file, []byte("\n")), []byte("\n"))
	good := func(list [][]byte) bool {
		rep, err := audit.Verify(bytes.NewReader(append(bytes.Join(list, nil), '\n')), key, audit.Options{})
		return err == nil && rep.OK()
	}
	if !good(split) {
		t.Fatal("the file itself is not good")
	}
	for i := range split {
		if bytes.Contains(split[i], []byte(`"checkpoint"`)) && i < len(split)-1 {
			continue // one more or less on the way says no more and no less
		}
		if without := slices.Delete(slices.Clone(split), i, i+1); good(without) {
			t.Errorf("without line %d it is still good: %s", i+1, split[i])
		}
		if i > 0 {
			other := slices.Clone(split)
			if other[i] = bytes.Replace(split[i], []byte("sess-server"), []byte("sess-serves"), 1); !bytes.Equal(other[i], split[i]) && good(other) {
				t.Errorf("line %d changed, and it is still good", i+1)
			}
		}
	}
}

// A proof holds for its event, place and log, and for nothing else; so does one that the log grew.
func TestProofs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	key := w.signer.VerifierKey()
	var checkpoints []string
	for i := range 9 {
		w.add(i*7, i*7+7, time.Now())
		w.flush()
		c, err := w.Checkpoint(t.Context(), who(admin))
		if err != nil {
			t.Fatal(err)
		}
		checkpoints = append(checkpoints, c.Checkpoint)
	}
	list, err := w.List(t.Context(), who(admin), filters(api.AuditFilter{Action: "session:ended"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Items {
		ev, _ := audit.DecodeEvent(e.Raw)
		out, err := w.Prove(t.Context(), who(admin), api.ProveIn{Event: string(ev.ID)})
		if err != nil {
			t.Fatal(err)
		}
		p := audit.Proof(out)
		got, c, err := p.VerifyEvent(key)
		if err != nil || got.ID != ev.ID || c.Log != string(org) {
			t.Fatalf("%s: %v", ev.ID, err)
		}
		for what, bad := range map[string]func(*audit.Proof){
			"other event":  func(p *audit.Proof) { p.Event = strings.Replace(p.Event, "sess-server", "sess-serves", 1) },
			"other place":  func(p *audit.Proof) { p.Index ^= 1 },
			"less hashes":  func(p *audit.Proof) { p.Hashes = p.Hashes[1:] },
			"other hashes": func(p *audit.Proof) { p.Hashes = slices.Clone(p.Hashes); slices.Reverse(p.Hashes) },
			"older root":   func(p *audit.Proof) { p.Checkpoint = checkpoints[0] },
			"unsigned":     func(p *audit.Proof) { p.Checkpoint = strings.Replace(p.Checkpoint, "\n—", "\n\n—", 1) },
			"another kind": func(p *audit.Proof) { p.Kind = audit.ProofConsistency },
		} {
			q := p
			if bad(&q); what == "other hashes" && len(q.Hashes) < 2 {
				continue
			}
			if _, _, err := q.VerifyEvent(key); err == nil {
				t.Errorf("%s: %s is proved", ev.ID, what)
			}
		}
	}
	for i, signed := range checkpoints {
		from, err := audit.OpenCheckpoint(signed, key)
		if err != nil {
			t.Fatal(err)
		}
		out, err := w.Consistency(t.Context(), who(admin), api.ConsistencyIn{From: from.Size})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := audit.Proof(out).VerifyConsistency(from, key); err != nil {
			t.Errorf("checkpoint %d: %v", i, err)
		}
		from.Root[0] ^= 1
		if _, err := audit.Proof(out).VerifyConsistency(from, key); !errors.Is(err, audit.ErrRewritten) {
			t.Errorf("checkpoint %d, another root: %v", i, err)
		}
	}
	if _, err := w.Consistency(t.Context(), who(admin), api.ConsistencyIn{From: 1 << 40}); !errors.Is(err, sess.ErrNotFound) {
		t.Error(err)
	}
}

// An export as CSV or OCSF has the events of its time, one by one.
func TestExportFormats(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w.add(0, 10, base)
	w.add(10, 20, base.Add(time.Hour))
	w.flush()
	export := func(format string) []byte {
		var b bytes.Buffer
		in := api.AuditExportIn{Format: format, Since: base.Add(time.Minute).Format(time.RFC3339), Until: base.Add(2 * time.Hour).Format(time.RFC3339)}
		if err := w.Export(t.Context(), who(admin), in, func(string) io.Writer { return &b }); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	rows, err := csv.NewReader(bytes.NewReader(export("csv"))).ReadAll()
	if err != nil || len(rows) != 11 || !slices.Equal(rows[0], audit.CSVHeader()) || rows[1][0] != "10" || rows[10][18] != "19" {
		t.Errorf("CSV: %v, %v", err, rows)
	}
	if n := bytes.Count(export("ocsf"), []byte("\n")); n != 10 {
		t.Errorf("OCSF: %d lines", n)
	}
	rep, err := audit.Verify(bytes.NewReader(export("")), w.signer.VerifierKey(), audit.Options{})
	if err != nil || !rep.OK() || rep.First != 10 || rep.End != 20 {
		t.Errorf("jsonl: %v %+v", err, rep)
	}
	var in api.AuditExportIn
	if err := w.Export(t.Context(), who(operator), in, func(string) io.Writer { t.Error("opened"); return io.Discard }); !errors.Is(err, sess.ErrDenied) {
		t.Error(err)
	}
}
