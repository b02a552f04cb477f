// Package e2e holds the tests that drive sess as people and scripts do: the three real programs, real TLS, real PTYs and
// real full-screen programs. Nothing in it is linked into a program.
//
//   - testdata/*.txtar: scripts, each named for the promise it keeps (TestScripts)
//   - terminal_test.go: what a person at a terminal sees
//   - resume_test.go: cut, frozen, killed and restarted in mid-flood, byte for byte
//   - ending_test.go: how sessions end, and what is kept until then
//
// The programs are built once per run, with the race detector when SESS_E2E_RACE=1. SESS_E2E_LONG=1 adds the tests that
// take minutes. Programs the tests need are installed by scripts/deps; a missing one is a failure.
package e2e
