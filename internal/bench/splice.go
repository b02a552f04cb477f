//go:build linux

package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// The splice is the least that a session through a relay can be: a client, a relay and an agent that dials out, TLS 1.3
// between them, and nothing but copying: no authentication, no record, no resume, no exit status. Each runs in a process
// of its own, as "bench splice ROLE DIR ARGS…"; DIR holds the certificate.

// spliceWaiting is how many connections the agent keeps at the relay for sessions to come.
const spliceWaiting = 8

// spliceBuffer is what is copied at once, bytes.
const spliceBuffer = 32 << 10

// spliceRequest opens a session; it is one line of JSON that the relay passes on like anything else.
type spliceRequest struct {
	Argv []string
	TTY  bool
}

func splice(role string, args []string) error {
	if len(args) < 2 {
		return errors.New("splice ROLE DIR ADDRESS …")
	}
	dir, addr := args[0], args[1]
	switch role {
	case "relay":
		return spliceRelay(dir, addr)
	case "agent":
		return spliceAgent(dir, addr)
	case "exec", "tty":
		return spliceClient(dir, addr, spliceRequest{args[2:], role == "tty"})
	}
	return fmt.Errorf("unknown role %q", role)
}

// spliceDial connects and says with one byte who it is.
func spliceDial(dir, addr string, who byte) (*tls.Conn, error) {
	pool, err := splicePool(dir)
	if err != nil {
		return nil, err
	}
	conn, err := tls.Dial("tcp", addr, &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, ServerName: "localhost"})
	if err != nil {
		return nil, err
	}
	_, err = conn.Write([]byte{who})
	return conn, err
}

func spliceRelay(dir, addr string) error {
	cert, err := tls.LoadX509KeyPair(dir+"/cert.pem", dir+"/key.pem")
	if err != nil {
		return err
	}
	l, err := tls.Listen("tcp", addr, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}})
	if err != nil {
		return err
	}
	agents := make(chan net.Conn, 4*spliceWaiting)
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			who := make([]byte, 1)
			if _, err := io.ReadFull(conn, who); err != nil {
				conn.Close()
				return
			}
			if who[0] == 'A' {
				agents <- conn
				return
			}
			join(conn, <-agents)
		}()
	}
}

// join copies both ways until both are at their ends.
func join(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		pass(a, b)
		close(done)
	}()
	pass(b, a)
	<-done
	a.Close()
	b.Close()
}

// pass copies one way and hands on the end.
func pass(to, from net.Conn) {
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, spliceBuffer))
	if err != nil {
		to.Close()
		return
	}
	_ = to.(*tls.Conn).CloseWrite()
}

// spliceAgent keeps connections waiting at the relay; each carries one session.
func spliceAgent(dir, addr string) error {
	slots := make(chan struct{}, spliceWaiting)
	for {
		slots <- struct{}{}
		conn, err := spliceDial(dir, addr, 'A')
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			in := bufio.NewReaderSize(conn, spliceBuffer)
			line, err := in.ReadBytes('\n')
			<-slots
			var req spliceRequest
			if err != nil || json.Unmarshal(line, &req) != nil {
				return
			}
			cmd := exec.Command(req.Argv[0], req.Argv[1:]...)
			if req.TTY {
				spliceTTY(conn, in, cmd)
			} else {
				spliceExec(conn, in, cmd)
			}
		}()
	}
}

func spliceExec(conn *tls.Conn, in io.Reader, cmd *exec.Cmd) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil || cmd.Start() != nil {
		return
	}
	go func() {
		_, _ = io.CopyBuffer(struct{ io.Writer }{stdin}, in, make([]byte, spliceBuffer))
		stdin.Close()
	}()
	_, _ = io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{stdout}, make([]byte, spliceBuffer))
	_ = cmd.Wait()
	_ = conn.CloseWrite()
}

// spliceTTY sends what the terminal has, as much as there is at once: one read gives at most 4 KiB.
func spliceTTY(conn *tls.Conn, in io.Reader, cmd *exec.Cmd) {
	master, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 80, Rows: 24})
	if err != nil {
		return
	}
	defer master.Close()
	go func() {
		_, _ = io.Copy(struct{ io.Writer }{master}, in)
		_ = cmd.Process.Signal(syscall.SIGHUP) // the client is gone
	}()
	fd, err := syscall.Dup(int(master.Fd()))
	if err != nil || syscall.SetNonblock(fd, true) != nil {
		return
	}
	polled := os.NewFile(uintptr(fd), "ptmx")
	defer polled.Close()
	raw, err := polled.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, spliceBuffer)
	for {
		n, ended := 0, false
		_ = raw.Read(func(fd uintptr) bool {
			for n < len(buf) {
				m, err := syscall.Read(int(fd), buf[n:])
				if errors.Is(err, syscall.EAGAIN) {
					return n > 0
				}
				if ended = err != nil || m <= 0; ended {
					return true
				}
				n += m
			}
			return true
		})
		if _, err := conn.Write(buf[:n]); err != nil || ended || n == 0 {
			break
		}
	}
	_ = conn.CloseWrite()
	_ = cmd.Wait()
}

func spliceClient(dir, addr string, req spliceRequest) error {
	conn, err := spliceDial(dir, addr, 'C')
	if err != nil {
		return err
	}
	defer conn.Close()
	line, err := json.Marshal(req)
	if err != nil {
		return err
	}
	if _, err := conn.Write(append(line, '\n')); err != nil {
		return err
	}
	if req.TTY {
		before, err := term.MakeRaw(0)
		if err != nil {
			return err
		}
		defer func() { _ = term.Restore(0, before) }()
	}
	go func() {
		_, _ = io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{os.Stdin}, make([]byte, spliceBuffer))
		_ = conn.CloseWrite()
	}()
	_, err = io.CopyBuffer(struct{ io.Writer }{os.Stdout}, struct{ io.Reader }{conn}, make([]byte, spliceBuffer))
	return err
}
