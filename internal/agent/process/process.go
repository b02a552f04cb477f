package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessctl/sess/internal/agent/pty"
	"github.com/sessctl/sess/internal/sess"
)

// killPatience is how long Kill waits for processes to be gone, and how long output may then still be held open by one
// that could not be killed.
const killPatience = 2 * time.Second

// Process is the main process of a session, with all that descends from it.
type Process struct {
	// Warning is a line for the user about how it was started; mostly empty.
	Warning string

	sup     *Supervisor
	session sess.SessionID
	tree    *tree
	trail   Trail // nil: none
	proc    *os.Process
	pid     int
	born    uint64   // when, in the kernel's ticks; 0: not known
	reused  bool     // another process was seen under its number; of scan, which one calls at a time
	tty     *pty.PTY // nil: pipes
	in      *os.File
	out     *burst
	errs    *burst // nil with a terminal

	waited chan struct{} // closed when the main process has ended
	exit   sess.Exit     // valid then
	spent  Spent         // the main process and those it waited for; valid then

	mu     sync.Mutex // protects closed, and the tree while something is done to it
	taken  Spent      // by the whole tree when it was killed, as its cgroups say
	into   []string   // limits that it ran into until then
	left   int        // processes that could not be killed
	closed bool       // its ids may belong to others by now
}

// Pid is the main process's id.
func (p *Process) Pid() int { return p.pid }

// Input is where the process's input goes. Writing fails with EPIPE once a command has closed its input.
func (p *Process) Input() io.Writer { return p.in }

// Echoes reports whether the terminal shows what is typed by itself; false where there is no terminal.
func (p *Process) Echoes() bool { return p.tty != nil && p.tty.Echoes() }

// CloseInput passes end of file on: the pipe is closed; a terminal that reads lines gets its end-of-file character.
func (p *Process) CloseInput() error {
	if p.tty == nil {
		return p.in.Close()
	}
	_, err := p.in.Write(p.tty.EOF())
	return err
}

// Output is what the process writes: its standard output, or everything with a terminal. Closing it makes further
// writes fail there.
func (p *Process) Output() io.ReadCloser { return p.out }

// Errors is its standard error, nil with a terminal.
func (p *Process) Errors() io.ReadCloser {
	if p.errs == nil {
		return nil
	}
	return p.errs
}

// Done is closed when the main process has ended.
func (p *Process) Done() <-chan struct{} { return p.waited }

// Wait waits for the main process and tells how it ended.
func (p *Process) Wait() sess.Exit {
	<-p.waited
	return p.exit
}

func (p *Process) wait() {
	defer close(p.waited)
	state, err := p.proc.Wait()
	p.sup.forget(p)
	if err != nil {
		p.exit = sess.Exit{Status: 255, Message: "the agent lost sight of the process"}
		p.sup.cfg.Log.Error("wait for main process", "session", p.session, "error", err)
		return
	}
	p.spent = rusage(state)
	ws, ok := state.Sys().(syscall.WaitStatus)
	switch {
	case !ok:
		p.exit = sess.Exit{Status: state.ExitCode()}
	case ws.Signaled():
		p.exit = sess.Exit{Status: 128 + int(ws.Signal()), Signal: signalName(ws.Signal())}
	default:
		p.exit = sess.Exit{Status: ws.ExitStatus()}
	}
}

// Resize sets the terminal's size; without a terminal it does nothing.
func (p *Process) Resize(cols, rows uint16) error {
	if p.tty == nil {
		return nil
	}
	return p.tty.Resize(cols, rows)
}

// Signal sends a signal by name: to the foreground process group of the terminal, else to the process group.
func (p *Process) Signal(name string) error {
	sig := unix.SignalNum(name)
	if sig == 0 {
		return fmt.Errorf("unknown signal %q", name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.waited:
		return nil
	default:
	}
	group := p.pid
	if p.tty != nil {
		if fg, err := p.tty.Foreground(); err == nil && fg > 1 {
			group = fg
		}
	}
	err := unix.Kill(-group, sig)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// Hangup asks the whole tree to end: SIGHUP, and SIGCONT so that stopped ones hear it.
func (p *Process) Hangup() { p.signalAll(unix.SIGHUP) }

// Terminate asks the whole tree to end with SIGTERM, and SIGCONT so that stopped ones hear it.
func (p *Process) Terminate() { p.signalAll(unix.SIGTERM) }

func (p *Process) signalAll(sig unix.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.tree.signal(p, sig)
		p.tree.signal(p, unix.SIGCONT)
	}
}

// Kill ends the whole tree, daemonised processes included, and waits a moment until it is gone. Output that is still
// there can be read afterwards, up to its end of file.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	if p.into == nil {
		p.into = p.tree.ranInto(p.sup.cfg.Limits)
	}
	p.left = 0
	if err := p.tree.kill(p); err != nil {
		p.left = p.tree.left(p)
		p.sup.cfg.Log.Warn("some processes of a session could not be killed", "session", p.session, "left", p.left, "error", err)
	}
	p.taken = p.tree.spent()
	p.out.cut(killPatience)
	if p.errs != nil {
		p.errs.cut(killPatience)
	}
}

// Spent tells what all processes took, after Wait and Kill. Without cgroups that is the main process and those it waited
// for, and the memory of the largest one.
func (p *Process) Spent() Spent {
	<-p.waited
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.taken
	s.CPUMicros = max(s.CPUMicros, p.spent.CPUMicros)
	if s.MemPeak == 0 { // else the cgroups' figure: this one also counts what is shared with others
		s.MemPeak = p.spent.MemPeak
	}
	return s
}

// RanInto names the limits of the owner's file that the process ran into, after Kill.
func (p *Process) RanInto() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.into
}

// Left tells how many processes Kill could not kill: the kernel has them, uninterruptible.
func (p *Process) Left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left
}

// Close frees files and the cgroup. The tree must have been killed.
func (p *Process) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		p.closeFiles()
		p.tree.remove()
	}
}

func (p *Process) closeFiles() {
	if p.tty != nil {
		p.tty.Close()
	}
	if p.in != nil {
		_ = p.in.Close()
	}
	if p.out != nil {
		_ = p.out.Close()
	}
	if p.errs != nil {
		_ = p.errs.Close()
	}
}

func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("SIG%d", int(s))
}
