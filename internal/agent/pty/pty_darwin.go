package pty

import "golang.org/x/sys/unix"

const getTermios = unix.TIOCGETA

// setUTF8 lets the line discipline erase whole characters, not bytes.
func setUTF8(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TIOCGETA)
	if err != nil {
		return err
	}
	t.Iflag |= unix.IUTF8
	return unix.IoctlSetTermios(fd, unix.TIOCSETA, t)
}
