//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

func TestQuantileIsTheNearestRank(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for _, c := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{hundred, 0.5, 50},
		{hundred, 0.99, 99},
		{hundred, 1, 100},
		{hundred, 0, 1},
		{[]float64{7}, 0.99, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile %v of %d values = %v, want %v", c.q, len(c.values), got, c.want)
		}
	}
	if hundred[0] != 100 {
		t.Error("quantile sorted its argument")
	}
	if !math.IsNaN(quantile(nil, 0.5)) || !math.IsNaN(median(nil)) {
		t.Error("no values gave a number")
	}
	if got := median([]float64{4, 1, 2, 3}); got != 2.5 {
		t.Errorf("median = %v, want 2.5", got)
	}
}

// The ratio is that of rounds, not that of medians: what slows a whole round down cancels out.
func TestRatioIsTakenRoundByRound(t *testing.T) {
	r := newResults()
	for round, v := range []float64{1, 10, 100} {
		r.add("m", sshDirect, round, v)
		r.add("m", ours, round, []float64{2, 30, 150}[round]) // ratios 2, 3, 1.5
	}
	r.add("m", ours, 3, 1e9) // ssh has no such round
	if got := r.ratio("m", ours, "m", sshDirect); got != 2 {
		t.Errorf("ratio = %v, want 2", got)
	}
	if got := r.ratio("none", ours, "m", sshDirect); !math.IsNaN(got) {
		t.Errorf("ratio of nothing = %v", got)
	}
	if got := r.rounds("m", sshDirect); len(got) != 3 || got[2] != 100 {
		t.Errorf("rounds = %v", got)
	}
}

func TestVerdict(t *testing.T) {
	less := metric{target: 1.4}
	more := metric{target: 0.85, more: true}
	absolute := metric{target: 60, absolute: true, unit: "ms"}
	for _, c := range []struct {
		m            metric
		value, ratio float64
		want, goal   string
	}{
		{less, 500, 1.4, "yes", "≤ 1.4×"},
		{less, 1, 1.41, "no", "≤ 1.4×"},
		{more, 1, 0.85, "yes", "≥ 0.85×"},
		{more, 500, 0.84, "no", "≥ 0.85×"},
		{absolute, 60, 9, "yes", "≤ 60 ms"},
		{absolute, 61, 0.1, "no", "≤ 60 ms"},
		{less, 500, math.NaN(), "", "≤ 1.4×"},
		{metric{}, 1, 1, "", ""},
	} {
		if got := c.m.verdict(c.value, c.ratio); got != c.want {
			t.Errorf("verdict of %+v for %v (%v) = %q, want %q", c.m, c.value, c.ratio, got, c.want)
		}
		if got := c.m.goal(); got != c.goal {
			t.Errorf("goal of %+v = %q, want %q", c.m, got, c.goal)
		}
	}
}

func TestParseStat(t *testing.T) {
	p, err := parseStat("42 (a) b (c) S 7 42 42 0 -1 4194560 100 0 0 0 3 4 5 6 20 0 1 0 100 0 0")
	if err != nil {
		t.Fatal(err)
	}
	if p.pid != 42 || p.parent != 7 || p.comm != "a) b (c" || p.cpu != 180*time.Millisecond {
		t.Errorf("got %+v", p)
	}
	for _, bad := range []string{"", "42", "42 (x", "42 (x) S 7", "x (x) S 7 42 42 0 -1 4194560 100 0 0 0 3 4 5 6 20"} {
		if p, err := parseStat(bad); err == nil {
			t.Errorf("%q gave %+v", bad, p)
		}
	}
}

func TestProcessesKnowsThisOne(t *testing.T) {
	list, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	if p := list.byPID[os.Getpid()]; p.parent != os.Getppid() {
		t.Errorf("parent %d, want %d", p.parent, os.Getppid())
	}
	if tree := list.tree(os.Getppid()); len(tree) < 2 || tree[0].pid != os.Getppid() {
		t.Errorf("the tree of the parent has %d processes", len(tree))
	}
	if resident(os.Getpid()) < mib {
		t.Errorf("this process has %d bytes", resident(os.Getpid()))
	}
}

func TestParseKiB(t *testing.T) {
	text := []byte("Rss:  4 kB\nPss:      123 kB\nPss_Anon:  7 kB\n")
	if got := parseKiB(text, "Pss"); got != 123<<10 {
		t.Errorf("Pss = %d", got)
	}
	if got := parseKiB(text, "VmRSS"); got != 0 {
		t.Errorf("VmRSS = %d", got)
	}
}

func TestOptions(t *testing.T) {
	o, err := parseOptions([]string{"--quick", "--only", "echo,bulk", "--json", "f"}, io.Discard)
	if err != nil || !o.quick || o.rounds != 2 || len(o.only) != 2 || o.json != "f" {
		t.Errorf("got %+v, %v", o, err)
	}
	if o, err := parseOptions([]string{"--rounds", "9"}, io.Discard); err != nil || o.rounds != 9 || len(o.only) != 0 {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, bad := range [][]string{{"--only", "nothing"}, {"--rounds", "-1"}, {"--rounds", "101"}, {"x"}, {"--nothing"}} {
		if _, err := parseOptions(bad, io.Discard); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{1234.5: "1234", 99.96: "100", 12.34: "12.3", 12: "12", 0.125: "0.12", 1: "1", 0: "0", 100: "100"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestReport(t *testing.T) {
	b := &bench{options: options{rounds: 2, quick: true}, results: newResults(), systems: []*system{{name: sshDirect}, {name: ours}}}
	for round := range 2 {
		b.results.add("echo_p50", sshDirect, round, 200)
		b.results.add("echo_p50", ours, round, 250)
		b.results.add("stdout", sshDirect, round, 100)
		b.results.add("stdout_random", ours, round, 50)
		b.results.addPart("stdout", ours, "sess-server", 1.5)
	}
	var out bytes.Buffer
	b.markdown(&out)
	for _, want := range []string{
		"| key echo, p50, µs |  | 200 |  |  | 250 (1.25) | ≤ 1.4× | yes |\n",
		"| exec stdout, incompressible, MiB/s |  |  |  |  | 50 (0.5) | ≥ 1× | no |\n",
		"| sess | sess-server | 1.5 |  |  |  |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	text, err := json.Marshal(b.document(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Metrics) != 3 || d.Metrics[0].Met != "yes" || *d.Metrics[0].Systems[ours].Ratio != 1.25 || len(d.Parts) != 1 || len(d.Parts[0].Rounds) != 2 {
		t.Errorf("got %s", text)
	}
}

// The whole path, without a clock: a terminal with cat in it, and a crowd of them.
func TestTerminalsEcho(t *testing.T) {
	list, err := openMany(bareSystem(), 3)
	for _, term := range list {
		defer term.close()
	}
	if err != nil {
		t.Fatal(err)
	}
	millis, err := typeAll(list, 4*crowdKeyEvery)
	if err != nil {
		t.Fatal(err)
	}
	if len(millis) == 0 || len(millis) > 12 { // a busy machine types fewer
		t.Errorf("%d keys came back, want at most 12", len(millis))
	}
}
