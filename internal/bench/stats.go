//go:build linux

package main

import (
	"math"
	"slices"
)

// quantile gives the smallest value that a share q (0 to 1) of the values does not exceed (the nearest rank); NaN
// without values.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// median gives the value in the middle, or the mean of the two there; NaN without values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}

// key says what was measured of which system.
type key struct{ metric, system string }

// part is the share of one process in a metric.
type part struct{ metric, system, process string }

// results are the values of all rounds.
type results struct {
	values map[key]map[int]float64
	parts  map[part][]float64
	order  []part // of first appearance
}

func newResults() *results {
	return &results{map[key]map[int]float64{}, map[part][]float64{}, nil}
}

// add notes the value of a round.
func (r *results) add(metric, system string, round int, v float64) {
	k := key{metric, system}
	if r.values[k] == nil {
		r.values[k] = map[int]float64{}
	}
	r.values[k][round] = v
}

// addPart notes the share of a process in some round.
func (r *results) addPart(metric, system, process string, v float64) {
	p := part{metric, system, process}
	if r.parts[p] == nil {
		r.order = append(r.order, p)
	}
	r.parts[p] = append(r.parts[p], v)
}

// rounds gives the values in the order of rounds.
func (r *results) rounds(metric, system string) []float64 {
	m := r.values[key{metric, system}]
	var list []float64
	for _, round := range slices.Sorted(func(yield func(int) bool) {
		for n := range m {
			if !yield(n) {
				return
			}
		}
	}) {
		list = append(list, m[round])
	}
	return list
}

// median of all rounds; NaN if there was none.
func (r *results) median(metric, system string) float64 { return median(r.rounds(metric, system)) }

// ratio is the median of the quotients of a system and a base in the same round; rounds that lack one of them do not
// count. NaN if there is none.
func (r *results) ratio(metric, system, baseMetric, base string) float64 {
	var list []float64
	for round, v := range r.values[key{metric, system}] {
		if b, ok := r.values[key{baseMetric, base}][round]; ok && b != 0 {
			list = append(list, v/b)
		}
	}
	return median(list)
}
