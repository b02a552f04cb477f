package recording

import (
	"os"
	"syscall"
)

// datasync brings f's data to the disk, and of its metadata only what is needed to read it back.
func datasync(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var errSync error
	err = c.Control(func(fd uintptr) {
		for {
			errSync = syscall.Fdatasync(int(fd))
			if errSync != syscall.EINTR {
				return
			}
		}
	})
	if err != nil { // its only reason; it is another error than os.ErrClosed
		return os.ErrClosed
	}
	return errSync
}
