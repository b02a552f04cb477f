//go:build race

package recording_test

// The race detector makes everything about ten times slower: fewer rounds of the same.
const (
	underRace = true
	kills     = 10
	checks    = "20"
)
