//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// metric is a line of the report.
type metric struct {
	id, name, unit string
	more           bool    // more is better
	target         float64 // of the ratio to ssh, or of the value if absolute; 0 for none
	absolute       bool
	base           string // metric of ssh that the ratio is to, if not this one
}

// metrics with the targets that sess has set itself, on a machine of two cores.
var metrics = []metric{
	{id: "echo_p50", name: "key echo, p50", unit: "µs", target: 1.4},
	{id: "echo_p99", name: "key echo, p99", unit: "µs", target: 1.4},
	{id: "output", name: "terminal output", unit: "MiB/s", more: true, target: 0.85},
	{id: "true", name: "exec … true, whole process", unit: "ms", target: 0.12},
	{id: "prompt", name: "first prompt", unit: "ms", target: 0.12},
	{id: "stdout", name: "exec stdout", unit: "MiB/s", more: true, target: 1},
	{id: "stdin", name: "exec stdin", unit: "MiB/s", more: true, target: 1.2},
	{id: "stdout_random", name: "exec stdout, incompressible", unit: "MiB/s", more: true, target: 1, base: "stdout"},
	{id: "stdin_random", name: "exec stdin, incompressible", unit: "MiB/s", more: true, target: 1.2, base: "stdin"},
	{id: "cpu_stdout", name: "CPU for 1 GiB of stdout, all processes", unit: "s", target: 1.5},
	{id: "cpu_stdin", name: "CPU for 1 GiB of stdin, all processes", unit: "s", target: 1.5},
	{id: "cpu_stdout_random", name: "CPU for 1 GiB of stdout, incompressible", unit: "s", target: 1.5, base: "cpu_stdout"},
	{id: "cpu_stdin_random", name: "CPU for 1 GiB of stdin, incompressible", unit: "s", target: 1.5, base: "cpu_stdin"},
	{id: "interrupt", name: "Ctrl-C under flood, 5 MB/s reader", unit: "ms", target: 60, absolute: true},
	{id: "crowd_p99", name: "%d sessions × 20 keys/s, p99", unit: "ms", target: 1.2},
	{id: "memory", name: "memory per session, all processes", unit: "MiB", target: 5, absolute: true},
	{id: "memory_agent", name: "of which the agent", unit: "MiB", target: 0.5, absolute: true},
	{id: "idle_sess-agent", name: "idle agent, resident", unit: "MiB", target: 15, absolute: true},
	{id: "idle_sess-server", name: "idle server, resident", unit: "MiB"},
}

// base is the metric of ssh that the ratio is to.
func (m metric) baseID() string {
	if m.base != "" {
		return m.base
	}
	return m.id
}

// verdict says whether a value and its ratio reach the target: "yes", "no", or nothing without target or value.
func (m metric) verdict(value, ratio float64) string {
	v := ratio
	if m.absolute {
		v = value
	}
	switch {
	case m.target == 0 || math.IsNaN(v):
		return ""
	case m.more && v >= m.target, !m.more && v <= m.target:
		return "yes"
	}
	return "no"
}

// goal is the target in words.
func (m metric) goal() string {
	sign, unit := "≤ ", "×"
	if m.more {
		sign = "≥ "
	}
	if m.absolute {
		unit = " " + m.unit
	}
	if m.target == 0 {
		return ""
	}
	return sign + number(m.target) + unit
}

// number gives three significant digits.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return ""
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return trim(fmt.Sprintf("%.1f", v))
	}
	return trim(fmt.Sprintf("%.2f", v))
}

func trim(s string) string { return strings.TrimRight(strings.TrimRight(s, "0"), ".") }

// markdown writes the tables.
func (b *bench) markdown(w io.Writer) {
	if b.compares() {
		b.comparison(w)
	}
	b.lockTable(w)
	b.processTable(w, "CPU seconds per GiB, by process", []string{"stdout", "stdin", "stdout_random", "stdin_random"})
	b.processTable(w, "MiB per session, by process", []string{"memory"})
}

// comparison writes the table of all systems.
func (b *bench) comparison(w io.Writer) {
	r := b.results
	fmt.Fprintf(w, "Medians of %d rounds (bulk at most 3, sessions at most 2); in parentheses the median of the ratios to `ssh` in the same round.\n\n", b.rounds)
	fmt.Fprint(w, "| what | bare PTY | ssh | ssh -J | TLS splice | sess | target | met |\n|---|---|---|---|---|---|---|---|\n")
	for _, m := range metrics {
		if math.IsNaN(r.median(m.id, ours)) {
			continue
		}
		name := m.name
		if strings.Contains(name, "%d") {
			name = fmt.Sprintf(name, b.crowdSize())
		}
		fmt.Fprintf(w, "| %s, %s |", name, m.unit)
		for _, s := range []string{bare, sshDirect, sshJump, rawSplice, ours} {
			cell := number(r.median(m.id, s))
			if ratio := r.ratio(m.id, s, m.baseID(), sshDirect); s != sshDirect && !math.IsNaN(ratio) {
				cell += " (" + number(ratio) + ")"
			}
			fmt.Fprintf(w, " %s |", strings.TrimSpace(cell))
		}
		ratio := r.ratio(m.id, ours, m.baseID(), sshDirect)
		fmt.Fprintf(w, " %s | %s |\n", m.goal(), m.verdict(r.median(m.id, ours), ratio))
	}
}

// processTable shows the shares of processes, a column for each metric.
func (b *bench) processTable(w io.Writer, title string, columns []string) {
	var rows []part
	seen := map[part]bool{}
	for _, s := range b.systems {
		for _, p := range b.results.order {
			row := part{"", p.system, p.process}
			for _, c := range columns {
				if p.metric == c && p.system == s.name && !seen[row] {
					seen[row] = true
					rows = append(rows, row)
				}
			}
		}
	}
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n\n| system | process |", title)
	for _, c := range columns {
		fmt.Fprintf(w, " %s |", strings.Replace(c, "_random", ", incompressible", 1))
	}
	fmt.Fprintf(w, "\n|---|---|%s\n", strings.Repeat("---|", len(columns)))
	for _, row := range rows {
		fmt.Fprintf(w, "| %s | %s |", row.system, row.process)
		for _, c := range columns {
			fmt.Fprintf(w, " %s |", number(median(b.results.parts[part{c, row.system, row.process}])))
		}
		fmt.Fprintln(w)
	}
}

// Document is the form of the JSON file.
type document struct {
	Began   time.Time        `json:"began"`
	Machine machine          `json:"machine"`
	Quick   bool             `json:"quick"`
	Rounds  int              `json:"rounds"`
	Metrics []metricDocument `json:"metrics"`
	Parts   []partDocument   `json:"processes"`
}

type machine struct {
	OS, Arch, CPU, Kernel, Go, SSH, Commit string
	Cores                                  int
	Load                                   string // averages when it was over
}

type metricDocument struct {
	ID      string                    `json:"id"`
	Name    string                    `json:"name"`
	Unit    string                    `json:"unit"`
	More    bool                      `json:"more_is_better"`
	Target  string                    `json:"target,omitempty"`
	Met     string                    `json:"met,omitempty"`
	Systems map[string]systemDocument `json:"systems"`
}

type systemDocument struct {
	Rounds []float64 `json:"rounds"`
	Median float64   `json:"median"`
	Ratio  *float64  `json:"ratio_to_ssh,omitempty"`
}

type partDocument struct {
	Metric  string    `json:"metric"`
	System  string    `json:"system"`
	Process string    `json:"process"`
	Rounds  []float64 `json:"rounds"`
}

func (b *bench) document(began time.Time) document {
	d := document{Began: began.UTC(), Machine: b.machine(), Quick: b.quick, Rounds: b.rounds}
	for _, m := range metrics {
		md := metricDocument{m.id, strings.Replace(m.name, "%d", fmt.Sprint(b.crowdSize()), 1), m.unit, m.more, m.goal(), "", map[string]systemDocument{}}
		for k := range b.results.values {
			if k.metric != m.id {
				continue
			}
			sd := systemDocument{Rounds: b.results.rounds(k.metric, k.system), Median: b.results.median(k.metric, k.system)}
			ratio := b.results.ratio(k.metric, k.system, m.baseID(), sshDirect)
			if !math.IsNaN(ratio) {
				sd.Ratio = &ratio
			}
			if k.system == ours {
				md.Met = m.verdict(sd.Median, ratio)
			}
			md.Systems[k.system] = sd
		}
		if len(md.Systems) > 0 {
			d.Metrics = append(d.Metrics, md)
		}
	}
	d.Metrics = append(d.Metrics, b.lockDocument()...)
	for _, p := range b.results.order {
		d.Parts = append(d.Parts, partDocument{p.metric, p.system, p.process, b.results.parts[p]})
	}
	return d
}

func (b *bench) machine() machine {
	cpu, _ := os.ReadFile("/proc/cpuinfo")
	_, model, _ := strings.Cut(string(cpu), "model name")
	model, _, _ = strings.Cut(strings.TrimLeft(model, "\t :"), "\n")
	load, _ := os.ReadFile("/proc/loadavg")
	commit, _ := exec.Command("git", "-C", b.root, "describe", "--always", "--dirty").Output()
	return machine{
		runtime.GOOS, runtime.GOARCH, model, versionOf("uname", "-r"), runtime.Version(), versionOf("ssh", "-V"),
		strings.TrimSpace(string(commit)), runtime.NumCPU(), strings.TrimSpace(string(load)),
	}
}

// report prints the tables and writes the file.
func (b *bench) report(began time.Time) error {
	d := b.document(began)
	m := d.Machine
	fmt.Printf("%d × %s, Linux %s, %s, %s, %s; load %s\n\n", m.Cores, m.CPU, m.Kernel, m.Go, m.SSH, m.Commit, m.Load)
	b.markdown(os.Stdout)
	if b.json == "" {
		return nil
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Clean(b.json), append(text, '\n'), 0o644)
}
