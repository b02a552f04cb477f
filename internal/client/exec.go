package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// ExecIO is what a command without a terminal is connected to.
type ExecIO struct {
	In  io.Reader // nil: the command sees end of file at once
	Out io.Writer
	Err io.Writer
	// Lines takes what sessctl itself has to say; usually standard error. LinesTerminal: a person reads it.
	Lines         io.Writer
	LinesTerminal bool
	// Signals are those sent to this process; nil: none. Interrupt goes to the command, and a second one ends the
	// session; any other goes to the command and ends the session a second later.
	Signals <-chan os.Signal
}

// Times of leaving.
const (
	doneWait     = 200 * time.Millisecond // for the server to take note that everything arrived
	signalEffect = time.Second            // a signal has this long to end the command
	oneSignal    = 150 * time.Millisecond // signals closer than this are one: timeout(1) sends it twice
	lastWords    = time.Second            // an ended session has this long to say how
)

// Exec drives a session without a terminal until its command has ended and all its output is written. The error says why
// there is no status of the command, or, as an *EndedError beside a status, what ended it; a *sess.Error or *EndedError is
// for people. When a signal to this process ended the session the status is 128 plus its number.
func (s *Session) Exec(ctx context.Context, o ExecIO) (sess.Exit, error) {
	lines := &lineUI{w: o.Lines, terminal: o.LinesTerminal}
	d := &execDriver{s: s, o: o, lines: lines, failed: make(chan error, 3)}
	s.onGap = func(n uint64) {
		d.fail(sess.New(sess.CodeEnded, fmt.Sprintf("%d bytes of output were not kept for this client", n), "sessctl recording play "+string(s.ID)+" has them"))
	}
	d.r = s.run(ctx, lines)
	defer func() { // everything that waits on the session returns
		d.r.stop()
		d.copies.Wait()
		lines.close()
	}()
	d.copyOut(wire.ChannelMain, o.Out, true)
	d.copyOut(wire.ChannelStderr, o.Err, false)
	go d.copyIn() // it may hang in a read of standard input, which nothing can end but the end of the process
	return d.wait(ctx)
}

type execDriver struct {
	s      *Session
	o      ExecIO
	lines  *lineUI
	r      *running
	copies sync.WaitGroup // the copies of output; Exec waits for them
	failed chan error     // the first failures on this side

	// Of wait's goroutine.
	signalled time.Time        // when the last signal came
	leaving   sess.Exit        // how we leave if the command does not say: status 128 + the signal's number
	deadline  <-chan time.Time // what happens next when the command does not end
	ending    bool             // the server was asked to end the session
	ended     chan struct{}
}

func (d *execDriver) fail(err error) {
	select {
	case d.failed <- err:
	default:
	}
}

// copyOut writes one stream of output. When main output can't be written the command is told as a broken pipe tells it.
func (d *execDriver) copyOut(ch uint32, w io.Writer, main bool) {
	in := d.s.endpoint.In(ch)
	d.copies.Go(func() {
		own := &ownWriter{w: w}
		_, err := in.WriteTo(own)
		if errors.Is(err, link.ErrReset) {
			d.fail(sess.New(sess.CodeEnded, "the agent gave up the command's output", ""))
		}
		if err = own.err; err == nil {
			return // the session is over, and others say how
		}
		in.Stop()
		if !main {
			return
		}
		if brokenPipe(err) {
			err = errBrokenPipe
		} else {
			err = sess.Wrap(err, sess.CodeInternal, "write standard output", "")
		}
		d.fail(err)
	})
}

var errBrokenPipe = errors.New("standard output is closed")

// copyIn sends standard input. An attached command's input was lost with the client before: it is given up, and not
// ended as if it were complete.
func (d *execDriver) copyIn() {
	out := d.s.endpoint.Out(wire.ChannelMain)
	if d.s.encoded == nil {
		_ = d.s.endpoint.SendCtl(wire.CtlReset, wire.StreamRef{Channel: wire.ChannelMain})
		return
	}
	if d.o.In != nil {
		own := &ownReader{r: d.o.In}
		_, err := out.ReadFrom(own)
		if own.err != nil {
			d.fail(sess.Wrap(own.err, sess.CodeInvalid, "read standard input", "redirect it from /dev/null when the command needs none"))
		}
		if err != nil {
			return // the session is over, or the command wants no more
		}
	}
	out.CloseWrite()
}

// wait returns when the command has ended, or everything that could be done to end it was.
func (d *execDriver) wait(ctx context.Context) (sess.Exit, error) {
	over := d.r.over
	var drained chan struct{}
	for {
		select {
		case <-d.s.endpoint.Finished():
			return d.finished(ctx)
		case <-over: // what has come may still have to be written, and may be all
			over, drained = nil, make(chan struct{})
			go func(c chan struct{}) { d.copies.Wait(); close(c) }(drained)
		case <-drained:
			select {
			case <-d.s.endpoint.Finished():
				return d.finished(ctx)
			default:
				return d.over()
			}
		case err := <-d.failed:
			if !errors.Is(err, errBrokenPipe) {
				d.s.endQuietly(ctx, "the client failed")
				return sess.Exit{}, err
			}
			d.leave(sess.Exit{Status: 128 + int(syscall.SIGPIPE), Signal: "SIGPIPE"}, signalEffect)
		case sig := <-d.o.Signals:
			d.signal(ctx, sig)
		case <-d.deadline:
			if d.leaving.Status == 0 {
				d.lines.hint("the command is still running; Ctrl-C again ends it")
				d.deadline = nil
				continue
			}
			if d.ending {
				return d.leaving, nil
			}
			d.end(ctx)
		case <-d.ended:
			d.ended = nil
			d.deadline = time.After(lastWords)
		}
	}
}

// signal acts on a signal sent to this process.
func (d *execDriver) signal(ctx context.Context, sig os.Signal) {
	exit := signalExit(sig)
	again := !d.signalled.IsZero()
	defer func() { d.signalled = time.Now() }()
	switch {
	case time.Since(d.signalled) < oneSignal: // the same one, to the process and to its group
		return
	case d.ending: // asked before, and asks again: go
		d.deadline = time.After(0)
	case exit.Signal == "SIGINT" && !again && d.s.connected():
		_ = d.s.endpoint.SendCtl(wire.CtlSignal, wire.Signal{Name: exit.Signal})
		d.deadline = time.After(signalEffect)
	case exit.Signal == "SIGINT" && again:
		d.leaving = exit
		d.end(ctx)
	default:
		_ = d.s.endpoint.SendCtl(wire.CtlSignal, wire.Signal{Name: exit.Signal})
		d.leave(exit, signalEffect)
	}
}

// leave ends the session after the given time, if the command has not ended by then.
func (d *execDriver) leave(as sess.Exit, after time.Duration) {
	d.leaving, d.deadline = as, time.After(after)
}

// end asks the server to end the session, without waiting here.
func (d *execDriver) end(ctx context.Context) {
	d.ending, d.deadline = true, time.After(endTimeout+lastWords)
	ended := make(chan struct{})
	d.ended = ended
	go func() { // ends within endTimeout
		defer close(ended)
		d.s.endQuietly(ctx, "interrupted by the user")
	}()
}

// finished gives the status once everything is here.
func (d *execDriver) finished(ctx context.Context) (sess.Exit, error) {
	d.copies.Wait()
	d.s.sayDone(d.r)
	if d.ending {
		return d.leaving, nil // it ended because we had it ended
	}
	x, _ := d.s.endpoint.Result()
	return x.Exit, d.s.why(ctx, x.Exit)
}

// over gives the reason when no connection will be made any more and not everything is here.
func (d *execDriver) over() (sess.Exit, error) {
	if d.leaving.Status != 0 {
		return d.leaving, nil
	}
	var end *EndedError
	if errors.As(d.r.err, &end) && end.End.Reason == sess.EndTimeout && end.End.Exit != nil {
		return *end.End.Exit, d.r.err
	}
	if n := d.s.endpoint.Missing(wire.ChannelMain); n > 0 {
		x, _ := d.s.endpoint.Result()
		return sess.Exit{}, sess.Wrap(d.r.err, sess.CodeEnded,
			fmt.Sprintf("the command ended with status %d, but the last %d bytes of its output are lost", x.Status, n), "")
	}
	return sess.Exit{}, d.r.err
}

// sayDone gives the server a moment to take note that everything arrived.
func (s *Session) sayDone(r *running) {
	select {
	case <-r.over:
	case <-time.After(doneWait):
	}
}

// ownWriter and ownReader keep the failures of this side apart from those of the session.
type ownWriter struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (o *ownWriter) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		o.err = err
	}
	return n, err
}

type ownReader struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (o *ownReader) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		o.err = err
	}
	return n, err
}
