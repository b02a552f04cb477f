package audit

import (
	"maps"
	"slices"
)

const cutMark = "cut" // the detail that says that details were dropped or shortened to fit

// boundDetails gives a copy of d within the limits of an event. Which keys stay does not depend on the map's order.
func boundDetails(d map[string]string) map[string]string {
	if len(d) == 0 {
		return nil
	}
	out := make(map[string]string, min(len(d), MaxDetails+1))
	for _, k := range slices.Sorted(maps.Keys(d)) {
		if len(out) >= MaxDetails {
			out[cutMark] = "details"
			break
		}
		out[cut(k, MaxDetailKey)] = cut(d[k], MaxDetailValue)
	}
	return out
}

// shrink halves the longest value of d, or drops it once it is short, and reports whether it could.
func shrink(d map[string]string) bool {
	longest := ""
	for _, k := range slices.Sorted(maps.Keys(d)) {
		if k != cutMark && (longest == "" || len(d[k]) > len(d[longest])) {
			longest = k
		}
	}
	if longest == "" {
		return false
	}
	if n := len(d[longest]); n > 64 {
		d[longest] = cut(d[longest], n/2)
	} else {
		delete(d, longest)
	}
	d[cutMark] = "details"
	return true
}
