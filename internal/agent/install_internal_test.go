package agent

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestGiveStateTakesNoFileAlong: a name in the state directory that is also a file elsewhere does not make that file the
// service user's.
func TestGiveStateTakesNoFileAlong(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	top := t.TempDir()
	state, elsewhere := filepath.Join(top, "state"), filepath.Join(top, "shadow")
	for _, err := range []error{
		os.Mkdir(state, 0o700), os.WriteFile(elsewhere, nil, 0o600), os.WriteFile(filepath.Join(state, keyFile), nil, 0o600),
		os.Link(elsewhere, filepath.Join(state, statusFile)), os.Symlink(elsewhere, filepath.Join(state, lockFile)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := (Service{State: StateDir(state), User: "nobody"}).giveState(t.Context()); err != nil {
		t.Fatal(err)
	}
	owner := func(name string) uint32 {
		info, err := os.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Uid
	}
	if owner(elsewhere) != 0 {
		t.Error("a file elsewhere was given away")
	}
	if owner(state) == 0 || owner(filepath.Join(state, keyFile)) == 0 {
		t.Error("state and key were not given to the service's user")
	}
}
