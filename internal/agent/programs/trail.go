package programs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessctl/sess/internal/sess"
)

// maxQueued bounds what waits to be written of one session, in bytes. It is taken only while the writer is blocked: the
// network is away, say.
const maxQueued = 4 << 20

// maxRunning bounds the processes of one session that are known by id; of more, the ends are not told.
const maxRunning = 1 << 16

// Unavailable says why programs can't be told.
type Unavailable struct {
	Code    string // one of sess.NoPrograms…
	Message string // for people
	Err     error  // for the log; may be nil
}

// Error implements error.
func (u *Unavailable) Error() string {
	if u.Err != nil {
		return u.Message + ": " + u.Err.Error()
	}
	return u.Message
}

// Unwrap returns the cause.
func (u *Unavailable) Unwrap() error { return u.Err }

// event is what the kernel tells.
type event struct {
	exec bool // else exit
	at   time.Time
	line sess.ProgramLine // of exec: all but its id
	pid  uint32
	code uint32 // of exit, as wait(2) gives it
}

// lines writes the lines of one session, in order, behind a queue.
type lines struct {
	to   io.Writer
	done chan struct{} // closed when all is written, or writing failed

	mu      sync.Mutex // protects the following
	wake    sync.Cond
	queue   bytes.Buffer
	closed  bool
	failed  bool
	count   int64
	lost    int64 // not told yet
	missing int64 // all
	last    int64 // id
	running map[uint32]int64
	digest  hash.Hash
}

func newLines(to io.Writer) *lines {
	l := &lines{to: to, done: make(chan struct{}), running: map[uint32]int64{}, digest: sha256.New()}
	l.wake.L = &l.mu
	go l.write() // ends with close, or when the writer fails
	return l
}

// write moves the queue to the writer.
func (l *lines) write() {
	defer close(l.done)
	var out []byte
	for {
		l.mu.Lock()
		for l.queue.Len() == 0 && !l.closed {
			l.wake.Wait()
		}
		if l.queue.Len() == 0 {
			l.mu.Unlock()
			return
		}
		out = append(out[:0], l.queue.Bytes()...)
		l.queue.Reset()
		if l.queue.Cap() > maxQueued/16 {
			l.queue = bytes.Buffer{}
		}
		l.mu.Unlock()
		if _, err := l.to.Write(out); err != nil { // the session is over
			l.mu.Lock()
			l.failed = true
			l.mu.Unlock()
			return
		}
		if cap(out) > maxQueued/16 {
			out = nil
		}
	}
}

// add queues a line; the caller holds mu. It reports whether there was room; what must be said finds some.
func (l *lines) add(line sess.ProgramLine, must bool) bool {
	if l.closed || l.failed {
		return false
	}
	b, err := json.Marshal(line)
	if err != nil || !must && l.queue.Len()+len(b) >= maxQueued {
		return false
	}
	b = append(b, '\n')
	l.queue.Write(b)
	l.digest.Write(b)
	l.wake.Signal()
	return true
}

// say queues a line.
func (l *lines) say(line sess.ProgramLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(line, true)
}

// take makes a line of an event.
func (l *lines) take(e *event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := e.line
	line.At = e.at.UnixMicro()
	before, known := l.running[e.pid]
	if e.exec {
		l.last++
		l.count++
		line.T, line.ID, line.Replaces = sess.ProgramRun, l.last, before
		if known || len(l.running) < maxRunning {
			l.running[e.pid] = l.last
		}
	} else {
		delete(l.running, e.pid)
		if !known {
			return // its start was lost, and counted
		}
		line.T, line.ID = sess.ProgramExit, before
		status, signal := waitStatus(e.code)
		line.Status, line.Signal = &status, signal
	}
	l.tellLost(e.at, false)
	if !l.add(line, false) {
		l.lost++
		l.missing++
	}
}

// tellLost queues a line about what was lost since the last; the caller holds mu.
func (l *lines) tellLost(at time.Time, must bool) {
	if l.lost > 0 && l.add(sess.ProgramLine{T: sess.ProgramsLost, At: at.UnixMicro(), Lost: l.lost}, must) {
		l.lost = 0
	}
}

// miss counts what the kernel had no room for.
func (l *lines) miss(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost += n
	l.missing += n
}

// finish queues the end, waits until all is written, and sums up. The writer may block for as long as it likes.
func (l *lines) finish() sess.ProgramsSum {
	l.mu.Lock()
	now := time.Now()
	l.tellLost(now, true) // that the list ends, and lacks something, is never left out
	l.add(sess.ProgramLine{T: sess.ProgramsEnd, At: now.UnixMicro(), Count: l.count, Lost: l.missing, Running: int64(len(l.running))}, true)
	l.mu.Unlock()
	l.close()
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := sess.ProgramsSum{Count: l.count, Lost: l.missing}
	if !l.failed { // else there is no such list
		sum.Digest = hex.EncodeToString(l.digest.Sum(nil))
	}
	return sum
}

func (l *lines) close() {
	l.mu.Lock()
	l.closed = true
	l.wake.Signal()
	l.mu.Unlock()
}

// waitStatus gives exit status, as a shell has it, and signal.
func waitStatus(code uint32) (status int, signal string) {
	if n := int(code & 0x7f); n != 0 {
		if signal = unix.SignalName(unix.Signal(n)); signal == "" {
			signal = "signal"
		}
		return 128 + n, signal
	}
	return int(code >> 8 & 0xff), ""
}

// WriteNone writes the one line that says why there is no list.
func WriteNone(to io.Writer, why *Unavailable) sess.ProgramsSum {
	l := newLines(to)
	l.say(sess.ProgramLine{T: sess.ProgramsNone, At: time.Now().UnixMicro(), Code: why.Code, Message: why.Message})
	l.close()
	<-l.done
	return sess.ProgramsSum{None: why.Code, Digest: hex.EncodeToString(l.digest.Sum(nil))}
}

// path puts the names of a path together: leaf first, each with a NUL behind it.
func path(b []byte, cut, unnamed bool) string {
	names := bytes.Split(bytes.TrimSuffix(b, []byte{0}), []byte{0})
	slices.Reverse(names)
	p := string(bytes.Join(names, []byte("/")))
	switch {
	case unnamed:
		return p
	case cut:
		return "…/" + p
	}
	return "/" + p
}
