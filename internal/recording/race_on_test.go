//go:build race

package recording_test

// kills is smaller under the race detector, which makes starting a writer slow.
const kills = 30
