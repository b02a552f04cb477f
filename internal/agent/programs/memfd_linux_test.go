package programs_test

import (
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func memfd(t *testing.T) int {
	t.Helper()
	fd, err := unix.MemfdCreate("x", 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func itoa(n int) string { return strconv.Itoa(n) }
