//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
)

// lockMetric is the name of a figure of the measurement of locks.
func lockMetric(kind, what, stat string) string { return "lock_" + kind + "_" + what + "_" + stat }

// lockTable shows how long locks took.
func (b *bench) lockTable(w io.Writer) {
	head := false
	for _, kind := range lockKinds {
		p99 := b.results.median(lockMetric(kind, "bytes", "p99"), ours)
		if math.IsNaN(p99) {
			continue
		}
		if !head {
			head = true
			fmt.Fprintf(w, "\nA lock under %d live sessions: ms from the start of `sessctl lock add`. Medians of %d rounds.\n\n", b.lockSize(), len(b.results.rounds(lockMetric(kind, "bytes", "p99"), ours)))
			fmt.Fprint(w, "| lock on | last byte at the client, p50 | p99 | last | process on the instance gone, p50 | p99 | last | target, p99 | met |\n|---|---|---|---|---|---|---|---|---|\n")
		}
		fmt.Fprintf(w, "| %s |", kind)
		for _, what := range []string{"bytes", "processes"} {
			for _, stat := range []string{"p50", "p99", "max"} {
				fmt.Fprintf(w, " %s |", number(b.results.median(lockMetric(kind, what, stat), ours)))
			}
		}
		m := metric{target: lockTarget, absolute: true, unit: "ms"}
		fmt.Fprintf(w, " %s | %s |\n", m.goal(), m.verdict(p99, math.NaN()))
	}
}

// lockDocument gives the same for the file.
func (b *bench) lockDocument() []metricDocument {
	var out []metricDocument
	for _, kind := range lockKinds {
		for _, what := range []string{"bytes", "processes"} {
			for stat := range lockStats {
				id := lockMetric(kind, what, stat)
				rounds := b.results.rounds(id, ours)
				if len(rounds) == 0 {
					continue
				}
				m := metric{id: id, name: fmt.Sprintf("lock on %s, %s, %s", kind, what, stat), unit: "ms", absolute: true}
				if stat == "p99" {
					m.target = lockTarget
				}
				v := median(rounds)
				out = append(out, metricDocument{
					m.id, m.name, m.unit, false, m.goal(), m.verdict(v, math.NaN()),
					map[string]systemDocument{ours: {Rounds: rounds, Median: v}},
				})
			}
		}
	}
	return out
}
