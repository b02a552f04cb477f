//go:build !race

package recording_test

const (
	underRace = false
	kills     = 100 // writers that TestKillLosesNothing kills
	checks    = "100"
)
