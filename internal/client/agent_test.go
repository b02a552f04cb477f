//go:build unix

package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"github.com/creack/pty"

	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// agent runs a session's process.
func (w *world) agent(s *session) {
	p, err := sess.DecodeParams(s.kind, s.params)
	if err != nil {
		w.end(s, wire.EndFrame{Reason: sess.EndRejected, Message: err.Error()})
		return
	}
	out := []uint32{wire.ChannelMain}
	if !p.TTY {
		out = append(out, wire.ChannelStderr)
	}
	e := link.NewEndpoint(link.EndpointConfig{
		Side: sess.SideAgent, Session: s.id, Send: out, Recv: []uint32{wire.ChannelMain, wire.ChannelParams}, Window: window(p), Boot: sess.NewBootID(),
	})
	ctx, cancel := context.WithCancel(w.ctx)
	w.mu.Lock()
	s.gone = cancel
	w.mu.Unlock()
	defer cancel()
	go func() {
		sent, err := io.ReadAll(e.In(wire.ChannelParams))
		if err == nil && string(sent) != string(s.params) {
			w.t.Errorf("parameters on the stream are %q, in the request %q", sent, s.params)
		}
	}()
	go w.process(e, s, p)
	d := &link.Dialer{Server: w.server()}
	defer d.CloseIdle()
	for ctx.Err() == nil {
		w.mu.Lock()
		t := w.mint(s, sess.SideAgent, nil)
		w.mu.Unlock()
		c, err := d.Dial(ctx, t.StreamURL, wire.Subprotocol, http.Header{"Authorization": {"Bearer " + t.Token}})
		if err != nil {
			continue
		}
		err = e.Run(ctx, c)
		var end *link.EndError
		if err == nil || errors.As(err, &end) {
			break
		}
	}
	e.Close(context.Canceled)
	s.signal(syscall.SIGKILL)
}

func (s *session) signal(sig syscall.Signal) {
	if s.kill != nil {
		s.kill(sig)
	}
}

// process runs argv on pipes or a terminal and connects it.
func (w *world) process(e *link.Endpoint, s *session, p sess.Params) {
	argv := p.Argv
	if len(argv) == 0 {
		argv = []string{"/bin/sh"}
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "PS1=$ ")
	for k, v := range p.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var wg sync.WaitGroup
	var tty *os.File
	var err error
	if p.TTY {
		tty, err = pty.StartWithSize(cmd, &pty.Winsize{Cols: p.Cols, Rows: p.Rows})
	} else {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		err = startPipes(cmd, e, &wg)
	}
	if err != nil {
		for _, ch := range []uint32{wire.ChannelMain, wire.ChannelStderr} {
			if ch == wire.ChannelMain || !p.TTY {
				e.Out(ch).CloseWrite()
			}
		}
		_ = e.Exit(sess.Exit{Status: 127, Message: "command not found"})
		return
	}
	w.mu.Lock()
	s.kill = func(sig syscall.Signal) { _ = syscall.Kill(-cmd.Process.Pid, sig) }
	w.mu.Unlock()
	if tty != nil {
		go func() { _, _ = e.In(wire.ChannelMain).WriteTo(tty) }()
		wg.Go(func() {
			_, _ = io.Copy(e.Out(wire.ChannelMain), tty)
			e.Out(wire.ChannelMain).CloseWrite()
		})
	}
	go w.control(e, s, tty)
	wg.Wait()
	_ = cmd.Wait()
	x := sess.Exit{Status: cmd.ProcessState.ExitCode()}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		x = sess.Exit{Status: 128 + int(ws.Signal()), Signal: "SIG" + strings.ToUpper(ws.Signal().String())}
	}
	_ = e.Exit(x)
}

func startPipes(cmd *exec.Cmd, e *link.Endpoint, wg *sync.WaitGroup) error {
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	errs, _ := cmd.StderrPipe()
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		if _, err := e.In(wire.ChannelMain).WriteTo(in); errors.Is(err, syscall.EPIPE) {
			e.In(wire.ChannelMain).Stop()
		}
		_ = in.Close()
	}()
	for ch, r := range map[uint32]io.ReadCloser{wire.ChannelMain: out, wire.ChannelStderr: errs} {
		wg.Go(func() {
			s := e.Out(ch)
			_, err := s.ReadFrom(r)
			if errors.Is(err, link.ErrStopped) {
				_ = r.Close() // the process gets SIGPIPE
			}
			s.CloseWrite()
		})
	}
	return nil
}

func (w *world) control(e *link.Endpoint, s *session, tty *os.File) {
	signals := map[string]syscall.Signal{"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM, "SIGHUP": syscall.SIGHUP, "SIGQUIT": syscall.SIGQUIT}
	for {
		kind, body, err := e.RecvCtl(w.ctx)
		if err != nil {
			return
		}
		switch kind {
		case wire.CtlSignal:
			var m wire.Signal
			_ = json.Unmarshal(body, &m)
			s.signal(signals[m.Name])
		case wire.CtlResize:
			var m wire.Resize
			_ = json.Unmarshal(body, &m)
			if tty != nil {
				_ = pty.Setsize(tty, &pty.Winsize{Cols: m.Cols, Rows: m.Rows})
			}
		}
	}
}
