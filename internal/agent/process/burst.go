package process

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A read that brought at least burstMin bytes, but no full frame, waits once for burstWait, as more is likely on its way:
// fewer, larger frames. Less is most likely somebody typing, and goes on at once.
const (
	burstMin  = 2 << 10
	burstFull = 32 << 10
	pipeRead  = 256 << 10 // a pipe is taken in larger pieces: nobody waits for an echo there
	burstWait = 200 * time.Microsecond
)

// maxLate bounds what is read after a cut, in bytes: no pipe or terminal holds more, so it comes from a process that
// could not be killed.
const maxLate = 2 << 20

// burst reads a pipe or terminal until it is empty or the buffer is full before it hands anything on.
type burst struct {
	f     *os.File
	rc    syscall.RawConn
	max   int         // bytes handed on at once
	err   error       // comes after the bytes before it
	timer *time.Timer // of wait; nil until the first
	// late counts the bytes read after cut's time was over.
	late int
}

// newBurst reads f and hands on at most limit bytes at once.
func newBurst(f *os.File, limit int) (*burst, error) {
	rc, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &burst{f: f, rc: rc, max: limit}, nil
}

// Read implements io.Reader. It is io.EOF at the end of a pipe, and when nobody is behind a terminal any more.
func (b *burst) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	p = p[:min(len(p), b.max)]
	n := 0
	err := b.rc.Read(func(fd uintptr) bool {
		n = b.drain(int(fd), p, 0)
		return n > 0 || b.err != nil
	})
	if errors.Is(err, os.ErrDeadlineExceeded) { // Cut: what is there still counts
		err = b.rc.Control(func(fd uintptr) { n = b.drain(int(fd), p, 0) })
		if b.late += n; err == nil && b.err == nil && (n == 0 || b.late > maxLate) {
			b.err = io.EOF
		}
	}
	if err != nil {
		if b.err == nil {
			b.err = err
		}
		return n, b.err
	}
	if n >= burstMin && n < min(len(p), burstFull) && b.err == nil {
		b.wait()
		_ = b.rc.Control(func(fd uintptr) { n = b.drain(int(fd), p, n) })
	}
	if n > 0 {
		return n, nil
	}
	return 0, b.err
}

// wait waits for burstWait.
func (b *burst) wait() {
	if b.timer == nil {
		b.timer = time.NewTimer(burstWait)
	} else {
		b.timer.Reset(burstWait)
	}
	<-b.timer.C
}

// drain reads into p[n:] until nothing is there, and gives the new n.
func (b *burst) drain(fd int, p []byte, n int) int {
	for n < len(p) {
		m, err := unix.Read(fd, p[n:])
		switch {
		case m > 0:
			n += m
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return n
		case err == nil || err == unix.EIO:
			b.err = io.EOF
			return n
		default:
			b.err = os.NewSyscallError("read", err)
			return n
		}
	}
	return n
}

// cut makes reads end after d even if somebody still holds the other side; bytes that are there then are still read.
func (b *burst) cut(d time.Duration) { _ = b.f.SetReadDeadline(time.Now().Add(d)) }

// Close closes the file: whoever writes to it gets SIGPIPE or is hung up.
func (b *burst) Close() error { return b.f.Close() }
