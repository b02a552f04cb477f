package main

import "testing"

// TestServersWordsCannotDriveTheTerminal: name, problem and hint may come from a server.
func TestServersWordsCannotDriveTheTerminal(t *testing.T) {
	if got, want := plain("web\x1b[2J\u009b1m\r\a\u202e-1\nnext ü"), "web[2J1m-1\nnext ü"; got != want {
		t.Errorf("plain gives %q, want %q", got, want)
	}
}
