//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// lockStarters is how many sessions start at the same time.
const lockStarters = 8

// cutSession is a session that prints and waits to be cut. Its client is a real one, in a process of its own.
type cutSession struct {
	client *exec.Cmd
	out    *os.File      // what the client prints
	fd     int           // of out, which is read without Go's poller
	errs   *bytes.Buffer // what it complains of
	pidfd  int           // of the process on the instance, which is this machine
	last   time.Time     // when the client printed last
	over   bool          // the client has closed its output
	gone   time.Time     // when the process was; zero: it is there
}

// cut are many of them, watched by one goroutine that waits in epoll.
type cut struct {
	list []*cutSession
	poll int
	buf  []byte
}

// ticking is the program of the sessions: it says which process it is, and then goes on printing until nobody takes it.
func ticking(every string) error {
	d, err := time.ParseDuration(every)
	if err != nil {
		return err
	}
	if _, err := fmt.Println(os.Getpid()); err != nil {
		return err
	}
	for range time.Tick(d) {
		if _, err := fmt.Println("tick"); err != nil {
			return err
		}
	}
	return nil
}

// openCut starts n sessions. What it gives is to be closed, also with an error.
func openCut(w *lockWorld, n int) (*cut, error) {
	c := &cut{buf: make([]byte, 4<<10)}
	var err error
	if c.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return c, err
	}
	self, err := os.Executable()
	if err != nil {
		return c, err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var errs []error
	slots := make(chan struct{}, lockStarters)
	for range n {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			s, err := startCut(w.user("exec", lockInstance, "--", self, "ticking", lockEvery))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			c.list = append(c.list, s)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return c, err
	}
	for i, s := range c.list {
		for _, fd := range []int{s.fd, s.pidfd} {
			// What belongs to the process is told apart by its sign.
			mark := int32(i + 1)
			if fd == s.pidfd {
				mark = -mark
			}
			if err := unix.EpollCtl(c.poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: mark}); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

// startCut starts a session and reads which process it is.
func startCut(cmd *exec.Cmd) (*cutSession, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s := &cutSession{client: cmd, out: r, errs: &bytes.Buffer{}}
	cmd.Stdout, cmd.Stderr = w, s.errs
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	line, err := firstLine(r)
	if err == nil {
		var pid int
		if pid, err = strconv.Atoi(line); err == nil {
			s.pidfd, err = unix.PidfdOpen(pid, 0)
		}
	}
	if err == nil {
		s.fd = int(r.Fd())
		err = unix.SetNonblock(s.fd, true)
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		r.Close()
		return nil, fmt.Errorf("a session does not begin: %w: %s", err, s.errs)
	}
	return s, nil
}

// firstLine reads a line byte by byte: what follows is for others.
func firstLine(r io.Reader) (string, error) {
	var line strings.Builder
	b := make([]byte, 1)
	for {
		if _, err := io.ReadFull(r, b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return line.String(), nil
		}
		line.WriteByte(b[0])
	}
}

// left is how many clients or processes are there.
func (c *cut) left() int {
	n := 0
	for _, s := range c.list {
		if !s.over || s.gone.IsZero() {
			n++
		}
	}
	return n
}

// watch notes what happens until enough says so, or for that long: which is an error, if there is an enough.
func (c *cut) watch(long time.Duration, enough func() bool) error {
	events := make([]unix.EpollEvent, 256)
	for end := time.Now().Add(long); ; {
		if enough != nil && enough() {
			return nil
		}
		wait := time.Until(end)
		if wait <= 0 {
			if enough == nil {
				return nil
			}
			return fmt.Errorf("%d of %d sessions are not over after %s", c.left(), len(c.list), long)
		}
		n, err := unix.EpollWait(c.poll, events, int(wait/time.Millisecond)+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			if err := c.note(int(e.Fd)); err != nil {
				return err
			}
			if enough == nil && c.left() < len(c.list) {
				return errors.New("a session ended before the lock")
			}
		}
	}
}

// note notes what happened to a client, or to the process of one if mark is negative.
func (c *cut) note(mark int) error {
	if mark < 0 {
		s := c.list[-mark-1]
		s.gone = time.Now()
		return unix.EpollCtl(c.poll, unix.EPOLL_CTL_DEL, s.pidfd, nil)
	}
	s := c.list[mark-1]
	n, err := unix.Read(s.fd, c.buf)
	switch {
	case n > 0:
		s.last = time.Now()
	case n == 0:
		s.over = true
		return unix.EpollCtl(c.poll, unix.EPOLL_CTL_DEL, s.fd, nil)
	case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
		return err
	}
	return nil
}

// lastBytes gives how long after a moment each client printed for the last time, ms.
func (c *cut) lastBytes(at time.Time) []float64 {
	var out []float64
	for _, s := range c.list {
		out = append(out, millisAfter(at, s.last))
	}
	return out
}

// goneAfter gives how long after a moment each process was gone, ms.
func (c *cut) goneAfter(at time.Time) []float64 {
	var out []float64
	for _, s := range c.list {
		out = append(out, millisAfter(at, s.gone))
	}
	return out
}

// millisAfter is 0 for what was before: nothing came any more.
func millisAfter(at, t time.Time) float64 {
	return max(0, float64(t.Sub(at).Microseconds())/1e3)
}

// close ends what is left.
func (c *cut) close() {
	for _, s := range c.list {
		_ = s.client.Process.Kill()
		_ = s.client.Wait()
		s.out.Close()
		_ = unix.Close(s.pidfd)
	}
	_ = unix.Close(c.poll)
}
