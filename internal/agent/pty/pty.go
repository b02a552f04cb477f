// Package pty opens pseudo terminals for sessions: pollable, sized, owned by the user that will sit behind them.
package pty

import (
	"errors"
	"fmt"
	"os"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// Size of a terminal whose owner did not say.
const (
	DefaultCols = 80
	DefaultRows = 24
)

// PTY is a pseudo terminal: Master is ours, Slave is the child's and is closed once it has started.
type PTY struct {
	Master *os.File // non-blocking: deadlines work, a read costs no thread
	Slave  *os.File
}

// Open makes a terminal of the given size in cells; zero means the default.
func Open(cols, rows uint16) (*PTY, error) {
	m, s, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("open pseudo terminal: %w", err)
	}
	p := &PTY{Master: m, Slave: s}
	if err := p.prepare(cols, rows); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *PTY) prepare(cols, rows uint16) error {
	master, err := pollable(p.Master)
	if err != nil {
		return err
	}
	p.Master = master
	if err := p.onSlave(setUTF8); err != nil {
		return fmt.Errorf("set terminal modes: %w", err)
	}
	return p.Resize(cols, rows)
}

// pollable gives f as a file of the runtime's poller. creack/pty leaves the master blocking, and then every read holds a
// thread and no deadline works.
func pollable(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("duplicate terminal: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("make terminal non-blocking: %w", err)
	}
	name := f.Name()
	_ = f.Close()
	return os.NewFile(uintptr(fd), name), nil
}

// Own gives the slave to a user and to the group of terminals, as login does; screen, tmux, gpg and sudo look at it.
// Only root may.
func (p *PTY) Own(uid, ttyGID int) error {
	if err := p.Slave.Chown(uid, ttyGID); err != nil {
		return fmt.Errorf("give terminal to user: %w", err)
	}
	if err := p.Slave.Chmod(0o620); err != nil {
		return fmt.Errorf("set mode of terminal: %w", err)
	}
	return nil
}

// Resize sets the size in cells; the kernel tells the foreground process group. Zero means the default.
func (p *PTY) Resize(cols, rows uint16) error {
	if cols == 0 {
		cols = DefaultCols
	}
	if rows == 0 {
		rows = DefaultRows
	}
	size := &unix.Winsize{Col: cols, Row: rows}
	err := control(p.Master, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size) })
	if err != nil {
		return fmt.Errorf("resize terminal: %w", err)
	}
	return nil
}

// Foreground gives the foreground process group; 0 when there is none.
func (p *PTY) Foreground() (int, error) {
	var pgrp int
	err := control(p.Master, func(fd int) (err error) {
		pgrp, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("find foreground process group: %w", err)
	}
	return pgrp, nil
}

// EOF gives the bytes that mean end of file to a program that reads whole lines from the terminal, nil when it reads
// raw: raw programs have no such thing.
func (p *PTY) EOF() []byte {
	var eof []byte
	_ = control(p.Master, func(fd int) error {
		t, err := unix.IoctlGetTermios(fd, getTermios)
		if err == nil && t.Lflag&unix.ICANON != 0 && t.Cc[unix.VEOF] != 0 {
			eof = []byte{t.Cc[unix.VEOF]}
		}
		return err
	})
	return eof
}

// Echoes reports whether the kernel shows what is typed. Programs that edit lines themselves, and those that ask for a
// password, have switched that off.
func (p *PTY) Echoes() bool {
	on := false
	_ = control(p.Master, func(fd int) error {
		t, err := unix.IoctlGetTermios(fd, getTermios)
		on = err == nil && t.Lflag&unix.ECHO != 0
		return err
	})
	return on
}

// Close closes both sides. The kernel hangs up whoever is still behind the terminal.
func (p *PTY) Close() {
	_ = p.Master.Close()
	_ = p.Slave.Close()
}

// CloseSlave closes our copy of the child's side, so that its end of file reaches us.
func (p *PTY) CloseSlave() { _ = p.Slave.Close() }

func (p *PTY) onSlave(f func(fd int) error) error { return control(p.Slave, f) }

// control runs f on the descriptor without making it blocking, which os.File.Fd would.
func control(file *os.File, f func(fd int) error) error {
	rc, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = rc.Control(func(fd uintptr) { inner = f(int(fd)) })
	return errors.Join(err, inner)
}
