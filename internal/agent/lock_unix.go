package agent

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sessctl/sess/internal/sess"
)

// lock makes this process the only agent of the state directory until unlock.
func (d StateDir) lock() (unlock func(), err error) {
	if err := d.make(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(d.path(lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, sess.Wrap(err, sess.CodeDenied, "can't use the state directory "+string(d), "run as its owner, or name another with --state-dir")
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, sess.New(sess.CodeConflict, "an agent runs on "+string(d)+" already", "see sess-agent status; stop it first, or name another --state-dir")
		}
		return nil, fmt.Errorf("lock state directory: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

// running reports whether some process holds the lock.
func (d StateDir) running() bool {
	f, err := os.Open(d.path(lockFile))
	if err != nil {
		return false
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	return errors.Is(err, unix.EWOULDBLOCK)
}
