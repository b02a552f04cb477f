package programs

import (
	"bytes"
	"context"
	_ "embed" // the program
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/sessctl/sess/internal/sess"
)

// object is bpf/programs.bpf.c, compiled by scripts/bpf. Both machines that agents are built for are little-endian.
//
//go:embed bpf/programs.o
var object []byte

// lookEvery is how often events are looked for while sessions run and few come; a full buffer wakes at once.
const lookEvery = 100 * time.Millisecond

// btfFile describes the running kernel; without it programs can't be fitted to it.
const btfFile = "/sys/kernel/btf/vmlinux"

// kernelObjects are what the kernel holds for us.
type kernelObjects struct {
	OnFork    *ebpf.Program `ebpf:"on_fork"`
	OnExec    *ebpf.Program `ebpf:"on_exec"`
	OnExit    *ebpf.Program `ebpf:"on_exit"`
	Members   *ebpf.Map     `ebpf:"members"`
	Spawners  *ebpf.Map     `ebpf:"spawners"`
	Sessions  *ebpf.Map     `ebpf:"sessions"`
	Over      *ebpf.Map     `ebpf:"over"`
	Events    *ebpf.Map     `ebpf:"events"`
	attached  []link.Link
	namespace uint32 // our pid namespace
}

// member is the value of members and spawners.
type member struct {
	Session uint64
	Level   uint32
	Program uint32
	PID     uint32
	_       uint32
}

type spawner struct{ Namespace, Thread uint32 }

type counts struct{ Lost, Untracked uint64 }

// Watcher sees programs start and end.
type Watcher struct {
	log           *slog.Logger
	kernel        kernelObjects
	reader        *ringbuf.Reader
	kernelVersion string
	stop          func() bool
	work          sync.WaitGroup // read and look

	mu     sync.Mutex // protects the following
	last   uint64
	trails map[uint64]*Trail
	wake   chan struct{}   // of one: there are trails
	drains []chan struct{} // closed by the next flush of the buffer that begins after them
	closed bool
}

// Open loads the program into the kernel. The error is an *Unavailable. Close, or the end of ctx, takes it out again.
func Open(ctx context.Context, log *slog.Logger) (*Watcher, error) {
	w := &Watcher{log: log, trails: map[uint64]*Trail{}, wake: make(chan struct{}, 1), kernelVersion: kernelVersion()}
	if err := w.load(); err != nil {
		w.free()
		return nil, unavailable(err)
	}
	w.stop = context.AfterFunc(ctx, w.Close)
	w.work.Go(w.read)
	w.work.Go(w.look)
	return w, nil
}

func (w *Watcher) load() error {
	if _, err := os.Stat(btfFile); err != nil {
		return &Unavailable{Code: sess.NoProgramsBTF, Message: "the kernel does not describe itself (no " + btfFile + ")", Err: err}
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return fmt.Errorf("look at own pid namespace: %w", err)
	}
	w.kernel.namespace = uint32(st.Ino) //nolint:gosec // the kernel's own number of it
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return fmt.Errorf("read the program: %w", err)
	}
	restore := lockedMemory()
	defer restore()
	if err := spec.LoadAndAssign(&w.kernel, nil); err != nil {
		return fmt.Errorf("load the program: %w", err)
	}
	if w.reader, err = ringbuf.NewReader(w.kernel.Events); err != nil {
		return fmt.Errorf("open the events: %w", err)
	}
	for _, p := range []*ebpf.Program{w.kernel.OnExit, w.kernel.OnExec, w.kernel.OnFork} {
		l, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			return fmt.Errorf("attach the program: %w", err)
		}
		w.kernel.attached = append(w.kernel.attached, l)
	}
	return nil
}

// lockedMemory lifts the limit that kernels before 5.11 count maps against. What we start must not inherit that.
func lockedMemory() (restore func()) {
	var before unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &before) != nil {
		return func() {}
	}
	_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	return func() { _ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &before) }
}

// unavailable says for people why the program could not be loaded.
func unavailable(err error) error {
	var u *Unavailable
	if errors.As(err, &u) {
		return u
	}
	switch {
	case lockedDown(lockdownFile):
		return &Unavailable{Code: sess.NoProgramsLockdown, Message: "the kernel is locked down: it lets nobody read its memory, not even root", Err: err}
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return &Unavailable{Code: sess.NoProgramsCapability, Message: "the agent may not ask the kernel: it needs to be root, or have CAP_BPF and CAP_PERFMON", Err: err}
	case errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, unix.ENOSYS), tooOld(kernelVersion()):
		return &Unavailable{Code: sess.NoProgramsKernel, Message: "the kernel (" + kernelVersion() + ") can't tell: it takes Linux 5.8 or newer", Err: err}
	}
	return &Unavailable{Code: sess.NoProgramsFault, Message: "the kernel refused to tell", Err: err}
}

// lockdownFile says whether the kernel keeps its memory from everybody.
const lockdownFile = "/sys/kernel/security/lockdown"

func lockedDown(file string) bool {
	b, err := os.ReadFile(file)
	return err == nil && bytes.Contains(b, []byte("[confidentiality]"))
}

// tooOld reports whether a kernel is older than what the program needs; what is no version is not.
func tooOld(release string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major < 5 || major == 5 && minor < 8
}

func kernelVersion() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// Close takes the program out of the kernel.
func (w *Watcher) Close() {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.closed = true
	close(w.wake)
	w.mu.Unlock()
	_ = w.reader.Close()
	w.work.Wait()
	w.free()
}

func (w *Watcher) free() {
	if w.stop != nil {
		w.stop()
	}
	for _, l := range w.kernel.attached {
		_ = l.Close()
	}
	for _, p := range []*ebpf.Program{w.kernel.OnExit, w.kernel.OnExec, w.kernel.OnFork} {
		if p != nil {
			_ = p.Close()
		}
	}
	for _, m := range []*ebpf.Map{w.kernel.Members, w.kernel.Spawners, w.kernel.Sessions, w.kernel.Over, w.kernel.Events} {
		if m != nil {
			_ = m.Close()
		}
	}
	w.kernel = kernelObjects{}
}

// read hands events to their sessions until the Watcher is closed.
func (w *Watcher) read() {
	var r ringbuf.Record
	for {
		err := w.reader.ReadInto(&r)
		switch {
		case errors.Is(err, ringbuf.ErrFlushed):
			w.drained()
			continue
		case err != nil:
			if !errors.Is(err, os.ErrClosed) {
				w.log.Error("read programs", "error", err)
			}
			w.mu.Lock()
			w.closed = true
			w.mu.Unlock()
			w.drained()
			return
		}
		session, e, err := decode(r.RawSample, sinceEpoch())
		if err != nil {
			w.log.Error("read programs", "error", err)
			continue
		}
		w.mu.Lock()
		t := w.trails[session]
		w.mu.Unlock()
		if t != nil {
			t.lines.take(&e)
		}
	}
}

// sinceEpoch is between 1970 and the machine's start, by the clocks of now.
func sinceEpoch() time.Duration {
	var up unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil {
		return 0
	}
	return time.Duration(time.Now().UnixNano() - up.Nano())
}

// look has the buffer read now and then while there are sessions: the kernel wakes us only when it fills up, as being
// woken for each program would cost more than all the rest.
func (w *Watcher) look() {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		w.mu.Lock()
		idle, closed := len(w.trails) == 0, w.closed
		w.mu.Unlock()
		if closed {
			return
		}
		if idle {
			t.Stop()
			if _, open := <-w.wake; !open {
				return
			}
			t.Reset(lookEvery)
			continue
		}
		<-t.C
		_ = w.reader.Flush() // fails when closed
	}
}

// drain waits until every event that is in the buffer now was handed on. A flush that was under way may have seen the end
// of the buffer before; the one after has not.
func (w *Watcher) drain() {
	w.flush()
	w.flush()
}

// flush waits for the end of a flush of the buffer.
func (w *Watcher) flush() {
	done := make(chan struct{})
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.drains = append(w.drains, done)
	w.mu.Unlock()
	if w.reader.Flush() != nil {
		return // closed
	}
	<-done
}

func (w *Watcher) drained() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.drains {
		close(d)
	}
	w.drains = nil
}

// Trail is what is known of one session's programs.
type Trail struct {
	w       *Watcher
	session uint64
	lines   *lines
	over    bool // the kernel knows that the session is; of Kill, which is not called at the same time
}

// Follow begins the list of a session's programs, which is written to to.
func (w *Watcher) Follow(to io.Writer) (*Trail, error) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil, &Unavailable{Code: sess.NoProgramsFault, Message: "the kernel's events can't be read any more"}
	}
	w.last++
	t := &Trail{w: w, session: w.last}
	w.mu.Unlock()
	if err := w.kernel.Sessions.Put(t.session, counts{}); err != nil {
		return nil, &Unavailable{Code: sess.NoProgramsFault, Message: "the kernel has no room for another session", Err: err}
	}
	t.lines = newLines(to)
	t.lines.say(sess.ProgramLine{T: sess.ProgramsBegin, At: time.Now().UnixMicro(), Source: "ebpf", Kernel: w.kernelVersion})
	w.mu.Lock()
	w.trails[t.session] = t
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return t, nil
}

// Spawn calls start; a process that it starts, on this goroutine, becomes the session's before it runs.
func (t *Trail) Spawn(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	key := spawner{Namespace: t.w.kernel.namespace, Thread: uint32(unix.Gettid())} //nolint:gosec // a thread's id
	if err := t.w.kernel.Spawners.Put(key, member{Session: t.session}); err != nil {
		t.w.log.Error("follow programs", "error", err)
		t.lines.miss(1)
		return start()
	}
	defer func() { _ = t.w.kernel.Spawners.Delete(key) }()
	return start()
}

// Pids lists the session's processes, as the agent sees them. Some may have ended meanwhile.
func (t *Trail) Pids() []int {
	var pids []int
	t.each(func(_ uint32, pid int) { pids = append(pids, pid) })
	return pids
}

// each calls f for each process of the session, with its key in members.
func (t *Trail) each(f func(key uint32, pid int)) {
	var key uint32
	var m member
	all := t.w.kernel.Members.Iterate()
	for all.Next(&key, &m) {
		if m.Session == t.session && m.PID > 1 && int(m.PID) != os.Getpid() {
			f(key, int(m.PID))
		}
	}
}

// Kill kills the session's processes and tells how many there were; those that fork from now on the kernel kills for it. What
// has ended meanwhile, so that its number may be another's, is left alone.
func (t *Trail) Kill() int {
	if !t.over {
		t.over = t.w.kernel.Over.Put(t.session, uint32(1)) == nil
	}
	n := 0
	t.each(func(key uint32, pid int) {
		n++
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return
		}
		defer unix.Close(fd)
		var m member
		if t.w.kernel.Members.Lookup(key, &m) == nil && m.Session == t.session {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
	})
	return n
}

// Finish is called when the session's processes have ended. It returns when the last line is written.
func (t *Trail) Finish() sess.ProgramsSum {
	t.w.drain()
	var c counts
	if t.w.kernel.Sessions.Lookup(t.session, &c) == nil {
		if n := int64(c.Lost + c.Untracked); n > 0 { //nolint:gosec // counts
			t.lines.miss(n)
		}
		_ = t.w.kernel.Sessions.Delete(t.session)
	}
	_ = t.w.kernel.Over.Delete(t.session)
	t.w.mu.Lock()
	delete(t.w.trails, t.session)
	t.w.mu.Unlock()
	return t.lines.finish()
}
