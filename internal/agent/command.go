package agent

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/agent/process"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Times at the end of a process.
const (
	// tailTime is how long background processes may hold the output open when the main process has ended.
	tailTime = time.Second
	// termPatience is between SIGTERM and SIGKILL when a command's own timeout has passed.
	termPatience = 5 * time.Second
)

// statusRefused is the exit status of a session whose process was never started for a reason of ours.
const statusRefused = 126

// handler runs the process of a session of one kind and tells how it ended. All the session's sending streams are closed
// when it returns.
type handler func(*session, sess.Params) sess.Exit

// handler gives the handler of a kind, nil when there is none. A new kind is one row.
func (a *Agent) handler(k sess.Kind) handler {
	return map[sess.Kind]handler{
		sess.KindShell: (*session).runProcess,
		sess.KindExec:  (*session).runProcess,
	}[k]
}

// command reads the parameters, runs the handler and states the exit.
func (s *session) command() {
	params, err := s.params()
	exit := sess.Exit{Status: statusRefused}
	outs := []uint32{wire.ChannelMain, wire.ChannelStderr}
	if params.TTY || sess.Kinds[s.offer.Kind].Terminal {
		outs = outs[:1]
		if derr := s.endpoint.Drop(wire.ChannelStderr); err == nil {
			err = derr
		}
	}
	switch {
	case s.ctx.Err() != nil:
		return
	case err != nil:
		s.log.Warn("session parameters refused", "error", err)
		exit.Message = sess.Public(err).Message
	default:
		exit = s.a.handler(s.offer.Kind)(s, params)
	}
	if s.offer.Programs {
		outs = append(outs, wire.ChannelPrograms)
	}
	if s.offer.Echoed {
		outs = append(outs, wire.ChannelEchoed)
	}
	for _, ch := range outs {
		s.endpoint.Out(ch).CloseWrite()
	}
	s.endpoint.In(wire.ChannelMain).Stop()
	s.mu.Lock()
	s.exitedAt = time.Now()
	ran := s.proc != nil
	if exit.Reason == "" { // a shell that is told to end may end as if it had wanted to
		exit.Reason = s.ordered
	}
	s.mu.Unlock()
	if s.ctx.Err() != nil {
		if errors.Is(context.Cause(s.ctx), errNoServer) {
			exit.Reason = sess.EndServerLost
		}
		if ran {
			s.a.over(s.offer.Session, exit)
		}
		return
	}
	s.log.Info("process ended", "status", exit.Status, "signal", exit.Signal, "message", exit.Message)
	if err := s.endpoint.Exit(exit); err != nil {
		s.log.Error("state exit", "error", err)
	}
}

// params reads the parameters that open the stream. They must be the ones the offer was signed for.
func (s *session) params() (sess.Params, error) {
	r := s.endpoint.In(wire.ChannelParams)
	b, err := io.ReadAll(io.LimitReader(r, sess.MaxParams+1))
	if err != nil {
		return sess.Params{}, err
	}
	sum := sha256.Sum256(b)
	if len(b) > sess.MaxParams || subtle.ConstantTimeCompare(sum[:], s.offer.ParamsHash) != 1 {
		r.Stop()
		return sess.Params{}, sess.New(sess.CodeRejected, "the parameters are not those that the server signed", "")
	}
	p, err := sess.DecodeParams(s.offer.Kind, b)
	if err != nil {
		return p, err
	}
	p.Env, err = process.CheckEnv(p.Env, s.a.opts.Config.envPatterns())
	return p, err
}

// runProcess is the handler of shell and exec.
func (s *session) runProcess(params sess.Params) sess.Exit {
	trail, sumUp := s.follow()
	exit := s.start(params, trail)
	exit.Programs = sumUp()
	return exit
}

// start starts the process and stays with it until its end.
func (s *session) start(params sess.Params, trail process.Trail) sess.Exit {
	p, err := s.a.sup.Start(process.Spec{
		Session: s.offer.Session, Account: s.account, Argv: params.Argv, Env: params.Env, Cwd: params.Cwd,
		TTY: params.TTY, Term: params.Term, Cols: params.Cols, Rows: params.Rows, Trail: trail,
	})
	var fault *process.StartError
	if errors.As(err, &fault) {
		s.log.Info("process not started", "error", err)
		return sess.Exit{Status: fault.Status, Message: fault.Message}
	}
	if err != nil {
		s.log.Error("start process", "error", err)
		return sess.Exit{Status: statusRefused, Message: "the agent could not start a process: " + sess.Public(err).Message}
	}
	defer p.Close()
	s.mu.Lock()
	s.proc = p
	s.mu.Unlock()
	s.log.Info("process started", "pid", p.Pid())
	return s.drive(p, params)
}

// drive moves bytes and control messages until the process and its output have ended:
//
//	main process ends → up to tailTime for the output's end of file → the tree is killed → the rest of the output
//
// Output may wait at the window for as long as the session lives; then everything is released by the endpoint's close.
func (s *session) drive(p *process.Process, params sess.Params) (exit sess.Exit) {
	stop := context.AfterFunc(s.ctx, p.Kill)
	defer stop()
	ctx, cancel := context.WithCancel(s.ctx)
	var in, out sync.WaitGroup // input and control; output
	in.Go(func() { s.control(ctx, p) })
	echoes := s.echoes(p, params.TTY)
	in.Go(func() { s.input(p, echoes.input(0)) })
	if params.TTY {
		go s.guestInput(echoes) // ends with the endpoint
	}
	s.warn(p, params.TTY)
	out.Go(func() { s.output(echoes.output(p.Output()), s.endpoint.Out(wire.ChannelMain), params.TTY) })
	if r := p.Errors(); r != nil {
		out.Go(func() { s.output(r, s.endpoint.Out(wire.ChannelStderr), false) })
	}
	late := s.limit(p, time.Duration(params.TimeoutMS)*time.Millisecond)
	exit = p.Wait()
	if late() {
		exit.Reason = sess.EndTimeout
	}
	defer func() {
		spent := p.Spent()
		exit.CPUMicros, exit.MemPeak = spent.CPUMicros, spent.MemPeak
		exit.Left, exit.Limits = p.Left(), strings.Join(p.RanInto(), ", ")
		if exit.Limits != "" && exit.Status != 0 && exit.Reason == "" && s.ctx.Err() == nil {
			exit.Reason = sess.EndLimit
		}
	}()
	drained := make(chan struct{})
	go func() { out.Wait(); close(drained) }() // ends with the output, which the end of drive waits for
	tail := time.NewTimer(tailTime)
	select {
	case <-drained:
	case <-tail.C:
	case <-s.ctx.Done():
	}
	tail.Stop()
	p.Kill()
	<-drained
	cancel()
	s.endpoint.In(wire.ChannelMain).Stop()
	p.Close() // a write of input that still waits ends
	in.Wait()
	return exit
}

// limit ends the process when its own timeout has passed. The result stops that and reports whether it has happened.
func (s *session) limit(p *process.Process, d time.Duration) (late func() bool) {
	if d <= 0 {
		return func() bool { return false }
	}
	var mu sync.Mutex
	var kill *time.Timer
	passed := false
	term := time.AfterFunc(d, func() {
		mu.Lock()
		defer mu.Unlock()
		passed = true
		kill = time.AfterFunc(termPatience, p.Kill)
		p.Terminate()
	})
	return func() bool {
		term.Stop()
		mu.Lock()
		defer mu.Unlock()
		if kill != nil {
			kill.Stop()
		}
		return passed
	}
}

// warn shows the user what was odd about the start.
func (s *session) warn(p *process.Process, tty bool) {
	if p.Warning == "" {
		return
	}
	ch, end := wire.ChannelStderr, "\n"
	if tty {
		ch, end = wire.ChannelMain, "\r\n"
	}
	_, _ = io.WriteString(s.endpoint.Out(ch), "sess-agent: "+p.Warning+end) // fails only when the session is over
}

// output sends r until its end. When the other side wants no more, a pipe is closed, so that its writer gets SIGPIPE; a
// terminal is read on, as closing it would be a hangup.
func (s *session) output(r io.ReadCloser, to *link.Sender, tty bool) {
	done := make(chan struct{})
	var watch sync.WaitGroup // for the goroutine that closes the pipe of an idle writer
	if !tty {
		watch.Go(func() {
			select {
			case <-to.Stopped():
				_ = r.Close()
			case <-done:
			}
		})
	}
	_, err := to.ReadFrom(r)
	if errors.Is(err, link.ErrStopped) && tty || s.ctx.Err() != nil {
		_, _ = io.Copy(io.Discard, r)
	}
	close(done)
	watch.Wait()
}

// input hands the client's input on. Its end of file is passed on, but not that of a client which is gone for good: the
// command must not take half its input for the whole.
func (s *session) input(p *process.Process, to io.Writer) {
	r := s.endpoint.In(wire.ChannelMain)
	_, err := r.WriteTo(to)
	switch {
	case err == nil:
		_ = p.CloseInput()
	case errors.Is(err, link.ErrReset), errors.Is(err, io.ErrClosedPipe), s.ctx.Err() != nil:
	default:
		r.Stop() // the command has closed its input: the client need send no more
	}
}

// guestInput hands on what others than the owner type, in whole frames. A write fails when the process is gone; what they
// type then is dropped.
func (s *session) guestInput(to *echoes) {
	_ = s.endpoint.ReadGuests(func(num uint16, b []byte) error {
		_, _ = to.input(num).Write(b)
		return nil
	})
}

// control acts on signals and resizes until ctx ends.
func (s *session) control(ctx context.Context, p *process.Process) {
	for {
		kind, body, err := s.endpoint.RecvCtl(ctx)
		if err != nil {
			return
		}
		switch kind { //nolint:exhaustive // the others are the endpoint's
		case wire.CtlSignal:
			var m wire.Signal
			if err = json.Unmarshal(body, &m); err == nil {
				err = p.Signal(m.Name)
			}
		case wire.CtlResize:
			var m wire.Resize
			if err = json.Unmarshal(body, &m); err == nil {
				err = p.Resize(m.Cols, m.Rows)
			}
		}
		if err != nil {
			s.log.Debug("control message", "kind", uint8(kind), "error", err) // a client may send any number of them
		}
	}
}
