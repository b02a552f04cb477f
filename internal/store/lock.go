//go:build unix

package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/sessctl/sess/internal/sess"
)

// DirLock is the right of one process to a data directory. The system takes it back when the process dies.
type DirLock struct{ file *os.File }

// LockDir takes DIR/lock, or says (CodeConflict) that another process has it. It never waits.
func LockDir(dir string) (*DirLock, error) {
	name := filepath.Join(dir, "lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		owner := ownerOf(f)
		_ = f.Close() // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, sess.Wrap(err, sess.CodeConflict, fmt.Sprintf("the data directory %s is in use by another sess-server%s", dir, owner),
				"stop that one first, or choose another --data-dir")
		}
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	// The number is for the message above only; the lock holds without it.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &DirLock{file: f}, nil
}

// Unlock lets go of the directory. The file stays: removing it would let two processes lock two files of one name.
func (l *DirLock) Unlock() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("unlock data directory: %w", err)
	}
	return nil
}

func ownerOf(f *os.File) string {
	var b [16]byte
	n, _ := f.ReadAt(b[:], 0)
	for i, c := range b[:n] {
		if c == '\n' && i > 0 {
			return " (process " + string(b[:i]) + ")"
		}
		if c < '0' || c > '9' {
			break
		}
	}
	return ""
}
