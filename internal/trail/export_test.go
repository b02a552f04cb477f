package trail_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// nasty are texts that strangers might write into an event.
var nasty = []string{
	"plain", "two\nlines", "\r\n", `"quoted", and a comma`, "semi;colon\ttab", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "|cmd", "＝1", "'=1", `","=1`,
	"\x00null", "\x1b[2Jclear", "\u202eright to left", "\ufeff=1", "�", "é€😀", `{"json":"in it"}`, `\"`, "\\n", "</script>", strings.Repeat("x\n", 20),
}

// TestExportsOfNastyValues: whatever stands in an event, it comes through each format of an export as it was; a spreadsheet gets
// nothing that it takes for a formula.
func TestExportsOfNastyValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	wrote := map[string]string{} // by the request
	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		clear(wrote)
		for i, s := range nasty {
			wrote[fmt.Sprint("nasty_", i)] = s
			if err := w.gate.Event(ctx, tx, gate.Entry{
				Who: sess.Principal{Org: org, Name: s, RequestID: fmt.Sprint("nasty_", i)}, Action: policy.SessionEnded, Reason: s, Details: map[string]string{"k": s, s: "v"},
				On: policy.Resource{Org: org, Type: policy.TypeInstance, ID: "ins_1", Name: s},
			}); err != nil {
				return err
			}
		}
		return nil
	})
	w.flush()
	export := func(format string) []byte {
		t.Helper()
		var b bytes.Buffer
		if err := w.Export(t.Context(), who(admin), api.AuditExportIn{Format: format}, func(string) io.Writer { return &b }); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	clean := func(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
	check := func(format string, got map[string][]string) {
		t.Helper()
		if len(got) != len(wrote) {
			t.Errorf("%s: %d events of %d", format, len(got), len(wrote))
		}
		for request, s := range wrote {
			for i, part := range got[request] {
				if part != clean(s) {
					t.Errorf("%s: %q came as %q (%d)", format, s, part, i)
				}
			}
		}
	}

	in, err := audit.NewReader(bytes.NewReader(export("jsonl")))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for rec, err := in.Next(); !errors.Is(err, io.EOF); rec, err = in.Next() {
		if err != nil {
			t.Fatal(err)
		}
		if e, err := audit.DecodeEvent(rec.Body); err == nil && wrote[e.Request] != "" {
			got[e.Request] = []string{e.Who.Name, e.Reason, e.On.Name, e.Details["k"]}
		}
	}
	check("jsonl", got)

	rows, err := csv.NewReader(bytes.NewReader(export("csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, name := range rows[0] {
		at[name] = i
	}
	clear(got)
	for _, row := range rows[1:] {
		s, ok := wrote[row[at["request"]]]
		for _, cell := range row {
			if c := strings.TrimLeft(cell, " \u00a0\ufeff"); c != "" && strings.ContainsRune("=+-@\t\r\n|＝＋－＠", []rune(c)[0]) {
				t.Errorf("csv: a cell begins as a formula: %q", cell)
			}
		}
		if !ok {
			continue
		}
		var details map[string]string
		if err := json.Unmarshal([]byte(row[at["details"]]), &details); err != nil || !maps.Equal(details, map[string]string{"k": clean(s), clean(s): "v"}) {
			t.Errorf("csv: details %q, %v", row[at["details"]], err)
		}
		var parts []string
		for _, name := range []string{"who", "reason", "on"} {
			cell := row[at[name]]
			if cell != clean(s) && cell == "'"+strings.ReplaceAll(clean(s), "\r\n", "\n") { // made inert; the reader knows one kind of line end
				cell = clean(s)
			}
			parts = append(parts, cell)
		}
		got[row[at["request"]]] = parts
	}
	check("csv", got)

	clear(got)
	lines := bufio.NewScanner(bytes.NewReader(export("ocsf")))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var o struct {
			Message string `json:"message"`
			Raw     string `json:"raw_data"`
		}
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		e, err := audit.DecodeEvent([]byte(o.Raw))
		if err != nil {
			t.Fatal(err)
		}
		if wrote[e.Request] != "" {
			got[e.Request] = []string{e.Who.Name, e.Reason, e.On.Name, e.Details["k"]}
		}
	}
	check("ocsf", got)
}

// meter counts what passes, and how much memory is in use meanwhile.
type meter struct {
	bytes, most uint64
	writes      int
}

func (m *meter) Write(p []byte) (int, error) {
	m.bytes += uint64(len(p))
	if m.writes++; m.writes%100 == 0 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		m.most = max(m.most, s.HeapAlloc)
	}
	return len(p), nil
}

// TestExportsStream: an export of a log that is much larger than the memory it takes.
func TestExportsStream(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	const n, pad = 2000, 8 << 10
	for first := 0; first < n; first += 500 {
		storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
			for i := range 500 {
				d := map[string]string{}
				for k := range pad / audit.MaxDetailValue {
					d[fmt.Sprint(k)] = strings.Repeat("x", audit.MaxDetailValue)
				}
				if err := w.gate.Event(ctx, tx, gate.Entry{Who: sess.System(org), Action: policy.SessionEnded, Reason: fmt.Sprint(first + i), Details: d, On: policy.Org(org), Time: time.Now()}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	w.flush()
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	for _, format := range []string{"jsonl", "csv", "ocsf"} {
		var m meter
		if err := w.Export(t.Context(), who(admin), api.AuditExportIn{Format: format}, func(string) io.Writer { return &m }); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d MiB with %d KiB of memory", format, m.bytes>>20, (max(m.most, s.HeapAlloc)-s.HeapAlloc)>>10)
		if m.bytes < n*pad {
			t.Errorf("%s: only %d bytes", format, m.bytes)
		}
		if m.most > s.HeapAlloc+m.bytes/2 {
			t.Errorf("%s: %d bytes of memory in use for %d of an export", format, m.most-s.HeapAlloc, m.bytes)
		}
	}
}
