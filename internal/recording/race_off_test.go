//go:build !race

package recording_test

// kills is how many writers TestKillLosesNothing kills.
const kills = 100
