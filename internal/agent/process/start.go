package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sessctl/sess/internal/agent/pty"
	"github.com/sessctl/sess/internal/sess"
)

// Exit statuses of a command that never ran, as shells give them.
const (
	statusNotFound      = 127
	statusNotExecutable = 126
)

// pipeSize is asked for on the pipes of a command, in bytes; the kernel's default is 64 KiB.
const pipeSize = 1 << 20

// Spec says what to run.
type Spec struct {
	Session sess.SessionID
	Account Account
	Argv    []string          // exactly as given; empty: the account's login shell
	Env     map[string]string // over the login environment; CheckEnv has seen it
	Cwd     string            // empty: the account's home, or / when that can't be entered
	TTY     bool
	Term    string
	// Cols and Rows are the size of the terminal in cells; 0 means the default.
	Cols, Rows uint16
	// Trail follows the session's processes in the kernel; nil: nothing does.
	Trail Trail
}

// Trail knows the processes of a session from the kernel.
type Trail interface {
	// Spawn calls start, on the goroutine that called it: what that starts is followed.
	Spawn(start func() error) error
	// Pids lists the processes that descend from it.
	Pids() []int
	// Kill kills the processes that descend from it, wherever they hide, and tells how many there were.
	Kill() int
}

// StartError says that no process came to be, with the exit status shells give for that.
type StartError struct {
	Status  int
	Message string // for people
	Err     error  // for the log; may be nil
}

// Error implements error.
func (e *StartError) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// Start runs spec. The error is a *StartError when the command itself is at fault.
func (s *Supervisor) Start(spec Spec) (*Process, error) {
	acc := spec.Account
	env := environment(acc, spec, s.mark)
	p := &Process{sup: s, session: spec.Session, trail: spec.Trail, waited: make(chan struct{})}
	cwd := orElse(spec.Cwd, acc.Home)
	if !filepath.IsAbs(cwd) {
		cwd = filepath.Join(acc.Home, cwd)
	}
	if spec.Cwd != "" {
		if err := checkDir(cwd); err != nil {
			return nil, err
		}
	}
	argv, file := spec.Argv, acc.Shell
	if len(argv) == 0 {
		argv = []string{"-" + filepath.Base(acc.Shell)} // the dash makes it a login shell
	} else {
		var err error
		if file, err = lookPath(argv[0], getEnv(env, "PATH"), cwd); err != nil {
			return nil, err
		}
	}
	files, err := p.open(spec, s.ttyGroup)
	if err != nil {
		p.closeFiles()
		return nil, err
	}
	attr := &os.ProcAttr{Dir: cwd, Env: env, Files: files, Sys: s.sysProcAttr(spec)}
	if err := s.spawn(p, spec, file, argv, attr); err != nil {
		closeAll(files)
		p.closeFiles()
		p.tree.remove()
		return nil, explain(err, file, cwd, spec)
	}
	closeAll(files)
	go p.wait()
	return p, nil
}

// spawn makes the process, in a cgroup where there are any, and in / when the home can't be entered.
func (s *Supervisor) spawn(p *Process, spec Spec, file string, argv []string, attr *os.ProcAttr) error {
	p.tree = s.newTree(spec.Session)
	inCgroup := p.tree.inCgroup()
	s.mu.Lock()
	defer s.mu.Unlock()
	proc, err := p.fork(file, argv, attr)
	if err != nil && inCgroup && !errors.Is(err, fs.ErrNotExist) && s.withoutCgroup(p, attr.Sys) {
		proc, err = p.fork(file, argv, attr)
	}
	if err != nil && spec.Cwd == "" && attr.Dir != "/" {
		home, first := attr.Dir, err
		attr.Dir = "/"
		if proc, err = p.fork(file, argv, attr); err != nil {
			return first
		}
		p.Warning = fmt.Sprintf("could not enter home directory %s: %v; starting in /", home, reason(first))
	}
	if err != nil {
		return err
	}
	p.proc, p.pid = proc, proc.Pid
	p.born = birth(p.pid)
	s.live[p.pid] = p
	return nil
}

// fork starts the process, in its cgroups, and followed if it is to be.
func (p *Process) fork(file string, argv []string, attr *os.ProcAttr) (*os.Process, error) {
	return p.tree.start(attr.Sys, func() (proc *os.Process, err error) {
		start := func() error {
			proc, err = os.StartProcess(file, argv, attr)
			return err
		}
		if p.trail == nil {
			err = start()
		} else {
			err = p.trail.Spawn(start)
		}
		return proc, err
	})
}

// withoutCgroup is for kernels that have cgroups but can't start a process in one, and for those who may not.
func (s *Supervisor) withoutCgroup(p *Process, sys *syscall.SysProcAttr) bool {
	attr := *sys
	attr.Setctty = false // it has no terminal
	probe := &os.ProcAttr{Dir: "/", Sys: &attr, Env: []string{}}
	start := func() (*os.Process, error) { return os.StartProcess("/bin/true", []string{"true"}, probe) }
	if proc, err := p.tree.start(&attr, start); err == nil {
		_, _ = proc.Wait()
		return false // cgroups work: the command is at fault
	}
	p.tree.leaveCgroup(sys)
	return true
}

func (s *Supervisor) sysProcAttr(spec Spec) *syscall.SysProcAttr {
	sys := &syscall.SysProcAttr{Setsid: true, Setctty: spec.TTY}
	if os.Geteuid() == 0 {
		acc := spec.Account
		sys.Credential = &syscall.Credential{Uid: acc.UID, Gid: acc.GID, Groups: acc.Groups}
	}
	return sys
}

// open makes the terminal or pipes and gives the child's side of them.
func (p *Process) open(spec Spec, ttyGroup int) ([]*os.File, error) {
	if !spec.TTY {
		return p.openPipes()
	}
	t, err := pty.Open(spec.Cols, spec.Rows)
	if err != nil {
		return nil, err
	}
	p.tty, p.in = t, t.Master
	if os.Geteuid() == 0 && ttyGroup >= 0 {
		if err := t.Own(int(spec.Account.UID), ttyGroup); err != nil {
			return nil, err
		}
	}
	if p.out, err = newBurst(t.Master, burstFull); err != nil {
		return nil, fmt.Errorf("prepare terminal: %w", err)
	}
	return []*os.File{t.Slave, t.Slave, t.Slave}, nil
}

func (p *Process) openPipes() ([]*os.File, error) {
	var child []*os.File
	var err error
	pipe := func(ours **os.File, childReads bool) {
		r, w, perr := os.Pipe()
		if perr != nil {
			err = errors.Join(err, fmt.Errorf("make pipe: %w", perr))
			return
		}
		enlarge(r)
		if childReads {
			*ours = w
			child = append(child, r)
			return
		}
		*ours = r
		child = append(child, w)
	}
	var out, errs *os.File
	pipe(&p.in, true)
	pipe(&out, false)
	pipe(&errs, false)
	if out != nil && errs != nil && err == nil {
		p.out, err = newBurst(out, pipeRead)
		if err == nil {
			p.errs, err = newBurst(errs, pipeRead)
		}
	}
	if err != nil {
		closeAll(append(child, out, errs))
		return nil, err
	}
	return child, nil
}

// explain turns the error of a start into what people need to know.
func explain(err error, file, cwd string, spec Spec) error {
	e := &StartError{Status: statusNotExecutable, Message: fmt.Sprintf("%s: %v", file, reason(err)), Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Status = statusNotFound
		e.Message = file + ": command not found"
		if _, serr := os.Stat(file); serr == nil && filepath.IsAbs(file) {
			e.Message = file + ": its interpreter is missing"
		}
	case errors.Is(err, unix.E2BIG):
		e.Message = fmt.Sprintf("%s: arguments and environment are larger than this machine allows", file)
	case errors.Is(err, fs.ErrPermission) && spec.Cwd != "" && !mayEnter(cwd, spec.Account):
		e.Message = fmt.Sprintf("cannot enter directory %s: permission denied", cwd)
	}
	return e
}

// reason gives the innermost error: "permission denied" without the path around it.
func reason(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

func checkDir(dir string) error {
	fi, err := os.Stat(dir)
	if err != nil {
		return &StartError{Status: statusNotExecutable, Message: fmt.Sprintf("cannot enter directory %s: %v", dir, reason(err)), Err: err}
	}
	if !fi.IsDir() {
		return &StartError{Status: statusNotExecutable, Message: fmt.Sprintf("cannot enter directory %s: not a directory", dir)}
	}
	return nil
}

// mayEnter guesses by mode bits whether acc can enter dir; it serves a message only.
func mayEnter(dir string, acc Account) bool {
	for d := dir; ; d = filepath.Dir(d) {
		fi, err := os.Stat(d)
		if err != nil {
			return false
		}
		st, ok := fi.Sys().(*syscall.Stat_t)
		if ok && acc.UID != 0 {
			bit := fs.FileMode(0o001)
			if st.Uid == acc.UID {
				bit = 0o100
			} else {
				for _, g := range acc.Groups {
					if g == st.Gid {
						bit = 0o010
					}
				}
			}
			if fi.Mode()&bit == 0 {
				return false
			}
		}
		if d == "/" || d == "." {
			return true
		}
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}
