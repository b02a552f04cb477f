package agent_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/agent"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

func TestExec(t *testing.T) {
	w := newWorld(t)
	w.start(agent.Config{})
	l := w.link()
	s := w.run(l, sess.KindExec, sess.Params{
		Argv: []string{"sh", "-c", `cat; echo "$GREETING" >&2; exit 7`}, Env: map[string]string{"GREETING": "oops"},
	})
	s.write("hi\n")
	s.Out(wire.ChannelMain).CloseWrite()
	if got := s.read(wire.ChannelMain); got != "hi\n" {
		t.Errorf("stdout = %q", got)
	}
	if got := s.read(wire.ChannelStderr); got != "oops\n" {
		t.Errorf("stderr = %q", got)
	}
	if x := s.exit(); x.Status != 7 || x.Signal != "" {
		t.Errorf("exit = %+v, want 7", x)
	}
	<-s.Finished()
}

func TestShell(t *testing.T) {
	w := newWorld(t)
	w.start(agent.Config{})
	s := w.run(w.link(), sess.KindShell, sess.Params{TTY: true, Cols: 90, Rows: 20, Argv: []string{"sh"}, Env: map[string]string{"PS1": "$ "}})
	s.expect(wire.ChannelMain, "$ ")
	s.write("stty size; tty\n")
	s.expect(wire.ChannelMain, "20 90\r\n/dev/pts/")
	if err := s.SendCtl(wire.CtlResize, wire.Resize{Cols: 100, Rows: 30}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new size is seen", func() bool {
		s.write("stty size; echo do''ne\n")
		return strings.Contains(s.expect(wire.ChannelMain, "done\r\n"), "30 100")
	})
	s.write("sh -c 'echo rea''dy; exec sleep 1000'\n")
	s.expect(wire.ChannelMain, "ready\r\n")
	s.write("\x03")
	s.expect(wire.ChannelMain, "$ ")
	s.write("echo st=$?\n")
	s.expect(wire.ChannelMain, "st=130")
	s.Out(wire.ChannelMain).CloseWrite() // end of file ends a shell that reads lines
	s.read(wire.ChannelMain)
	if x := s.exit(); x.Status != 130 && x.Status != 0 {
		t.Errorf("exit = %+v", x)
	}
}

func TestExecOnTerminal(t *testing.T) {
	w := newWorld(t)
	w.start(agent.Config{})
	s := w.run(w.link(), sess.KindExec, sess.Params{TTY: true, Argv: []string{"sh", "-c", "tty >/dev/null && echo out && echo err >&2; exit 3"}})
	if got := s.read(wire.ChannelMain); got != "out\r\nerr\r\n" {
		t.Errorf("output = %q", got)
	}
	if x := s.exit(); x.Status != 3 || len(x.Finals) != 1 {
		t.Errorf("exit = %+v, want 3 and one final", x)
	}
}

func TestSignalsAndTimeout(t *testing.T) {
	w := newWorld(t)
	w.start(agent.Config{})
	l := w.link()
	s := w.run(l, sess.KindExec, sess.Params{Argv: []string{"sh", "-c", "echo up; exec sleep 1000"}})
	s.expect(wire.ChannelMain, "up")
	if err := s.SendCtl(wire.CtlSignal, wire.Signal{Name: "SIGINT"}); err != nil {
		t.Fatal(err)
	}
	if x := s.exit(); x.Status != 130 || x.Signal != "SIGINT" {
		t.Errorf("exit = %+v, want SIGINT", x)
	}
	s = w.run(l, sess.KindExec, sess.Params{Argv: []string{"sh", "-c", "sleep 1000; echo never"}, TimeoutMS: 50})
	s.read(wire.ChannelMain)
	if x := s.exit(); x.Signal != "SIGTERM" || x.Reason != sess.EndTimeout {
		t.Errorf("exit = %+v, want SIGTERM by timeout", x)
	}
}

func TestCommandThatCantRun(t *testing.T) {
	w := newWorld(t)
	w.start(agent.Config{EnvAllow: []string{"OK_*"}})
	l := w.link()
	for _, c := range []struct {
		p       sess.Params
		status  int
		message string
	}{
		{sess.Params{Argv: []string{"no-such-command"}}, 127, "no-such-command: command not found"},
		{sess.Params{Argv: []string{"/etc/passwd"}}, 126, "/etc/passwd: permission denied"},
		{sess.Params{Argv: []string{"true"}, Cwd: "/no/such"}, 126, "cannot enter directory /no/such: no such file or directory"},
		{sess.Params{Argv: []string{"true"}, Env: map[string]string{"NOT_OK": "1"}}, 126, "the agent does not let a client set NOT_OK"},
		{sess.Params{Argv: []string{"true"}, Env: map[string]string{"OK_1": "1", "LC_ALL": "C"}}, 0, ""},
	} {
		s := w.run(l, sess.KindExec, c.p)
		if got := s.read(wire.ChannelMain) + s.read(wire.ChannelStderr); got != "" {
			t.Errorf("%v wrote %q", c.p, got)
		}
		if x := s.exit(); x.Status != c.status || x.Message != c.message {
			t.Errorf("%v: exit = %+v, want %d %q", c.p, x, c.status, c.message)
		}
	}
}

func TestParametersMustBeTheSignedOnes(t *testing.T) {
	w := newWorld(t)
	w.start(agent.Config{})
	l := w.link()
	id := sess.NewSessionID()
	w.send(l, w.offerOf(l, id, sess.KindExec, []byte(`{"argv":["true"]}`)), w.broker)
	l.next(t, wire.ControlAccept)
	marker := t.TempDir() + "/ran"
	s := w.client(id, sess.Params{}, []byte(`{"argv":["touch","`+marker+`"]}`))
	if x := s.exit(); x.Status == 0 || !strings.Contains(x.Message, "not those that the server signed") {
		t.Errorf("exit = %+v", x)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("a command that nobody signed was run")
	}
}

func TestOffersThatAreNotObeyed(t *testing.T) {
	w := newWorld(t)
	me := myName(t)
	w.start(agent.Config{AllowUsers: []string{me}, AllowKinds: []sess.Kind{sess.KindExec}, MaxSessions: 1})
	l := w.link()
	params := []byte(`{"argv":["sleep","1000"]}`)
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := w.offerOf(l, sess.NewSessionID(), sess.KindExec, params)
	w.send(l, good, stranger) // no answer: whose session it is can't be believed
	for name, c := range map[string]struct {
		change func(*wire.Offer)
		text   string
	}{
		"nonce":    {func(o *wire.Offer) { o.Nonce = "other" }, "another connection"},
		"instance": {func(o *wire.Offer) { o.Instance = sess.NewInstanceID() }, "another instance"},
		"expired":  {func(o *wire.Offer) { o.Expires = time.Now().Add(-48 * time.Hour).Unix() }, "expired"},
		"kind":     {func(o *wire.Offer) { o.Kind = sess.KindShell }, "does not allow sessions of kind shell"},
		"unknown":  {func(o *wire.Offer) { o.Kind = "teleport" }, "knows no sessions of kind"},
		"user":     {func(o *wire.Offer) { o.OSUser = "daemon" }, "as daemon"},
		"session":  {func(o *wire.Offer) { o.Session = "../x" }, "names no session"},
	} {
		o := w.offerOf(l, sess.NewSessionID(), sess.KindExec, params)
		c.change(&o)
		w.send(l, o, w.broker)
		m := l.next(t, wire.ControlReject)
		if m.Session != o.Session || !strings.Contains(m.Message, c.text) {
			t.Errorf("%s: reject = %+v, want %q", name, m, c.text)
		}
	}
	w.send(l, good, w.broker)
	l.next(t, wire.ControlAccept)
	w.send(l, w.offerOf(l, sess.NewSessionID(), sess.KindExec, params), w.broker)
	if m := l.next(t, wire.ControlReject); m.Code != sess.CodeLimited {
		t.Errorf("one session too many: %+v", m)
	}
	w.send(l, good, w.broker) // the same once more is a fresh ticket
	l.next(t, wire.ControlAccept)
}

func TestRootNeedsAUserToBeNamed(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	w := newWorld(t)
	w.start(agent.Config{DefaultUser: "daemon", DenyRoot: true})
	l := w.link()
	s := w.run(l, sess.KindExec, sess.Params{Argv: []string{"id", "-un"}})
	if got := s.read(wire.ChannelMain); got != "daemon\n" {
		t.Errorf("id = %q", got)
	}
	for user, text := range map[string]string{"root": "does not allow sessions as root", "nobody-x": `no user "nobody-x"`, "-x": "no user"} {
		o := w.offerOf(l, sess.NewSessionID(), sess.KindExec, nil)
		o.OSUser = user
		w.send(l, o, w.broker)
		if m := l.next(t, wire.ControlReject); !strings.Contains(m.Message, text) {
			t.Errorf("as %s: %+v, want %q", user, m, text)
		}
	}
}

// TestBulkThroughCat sends 100 MB through a cat and compares; on the way the connections are cut four times.
func TestBulkThroughCat(t *testing.T) {
	size := 100 << 20
	if testing.Short() || raceDetector { // which makes TLS some 20 times slower
		size = 8 << 20
	}
	w := newWorld(t)
	w.start(agent.Config{})
	l := w.link()
	s := w.run(l, sess.KindExec, sess.Params{Argv: []string{"cat"}})
	w.serve(l)
	block := make([]byte, 1<<20)
	_, _ = rand.Read(block)
	sent, got := sha256.New(), sha256.New()
	go func() {
		for i := range size / len(block) {
			block[0], block[1] = byte(i), byte(i>>8)
			sent.Write(block)
			if _, err := s.Out(wire.ChannelMain).Write(block); err != nil {
				return
			}
		}
		s.Out(wire.ChannelMain).CloseWrite()
	}()
	stop := make(chan struct{})
	cuts := make(chan int, 1)
	go func() {
		n := 0
		defer func() { cuts <- n }()
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				if r := w.relay(s.id); n < 4 && r.here(sess.SideAgent) && r.here(sess.SideClient) {
					r.cut([]sess.Side{sess.SideAgent, sess.SideClient}[n%2])
					n++
				}
			}
		}
	}()
	done := make(chan int64, 1)
	go func() { n, _ := io.Copy(got, s.In(wire.ChannelMain)); done <- n }()
	select {
	case n := <-done:
		if n != int64(size) || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
			t.Errorf("%d bytes came back of %d, same: %v", n, size, bytes.Equal(sent.Sum(nil), got.Sum(nil)))
		}
	case <-time.After(60 * time.Second):
		t.Fatal("it does not end")
	}
	close(stop)
	if n := <-cuts; n < 2 {
		t.Errorf("only %d cuts", n)
	}
	s.read(wire.ChannelStderr)
	if x := s.exit(); x.Status != 0 {
		t.Errorf("exit = %+v", x)
	}
}

func TestClosedStreamsPassBothWays(t *testing.T) {
	w := newWorld(t)
	w.start(agent.Config{})
	l := w.link()
	s := w.run(l, sess.KindExec, sess.Params{Argv: []string{"sh", "-c", "exec <&-; echo closed; exec sleep 1000"}})
	s.expect(wire.ChannelMain, "closed")
	go func() { _, _ = s.Out(wire.ChannelMain).Write(make([]byte, 1<<20)) }()
	<-s.Out(wire.ChannelMain).Stopped() //: the command takes no more input

	s = w.run(l, sess.KindExec, sess.Params{Argv: []string{"yes"}})
	s.expect(wire.ChannelMain, "y\n")
	s.In(wire.ChannelMain).Stop()
	if x := s.exit(); x.Signal != "SIGPIPE" {
		t.Errorf("exit = %+v, want SIGPIPE", x)
	}
}

func TestInputOfALostClientIsNoEndOfFile(t *testing.T) {
	w := newWorld(t)
	w.start(agent.Config{})
	s := w.run(w.link(), sess.KindExec, sess.Params{Argv: []string{"sh", "-c", "cat >/dev/null; echo took it for the whole"}})
	s.write("half")
	if err := s.SendCtl(wire.CtlReset, wire.StreamRef{Channel: wire.ChannelMain}); err != nil {
		t.Fatal(err)
	}
	if err := s.SendCtl(wire.CtlSignal, wire.Signal{Name: "SIGHUP"}); err != nil { // behind the reset
		t.Fatal(err)
	}
	if got := s.read(wire.ChannelMain); got != "" {
		t.Errorf("output = %q", got)
	}
	if x := s.exit(); x.Signal != "SIGHUP" {
		t.Errorf("exit = %+v", x)
	}
}

// TestBackgroundProcessesEndWithTheSession holds the output open, and waits no longer than a second.
func TestBackgroundProcessesEndWithTheSession(t *testing.T) {
	w := newWorld(t)
	w.start(agent.Config{})
	s := w.run(w.link(), sess.KindExec, sess.Params{Argv: []string{"sh", "-c", "(trap '' HUP TERM; sleep 1000) & echo $!; exit 4"}})
	began := time.Now()
	pid, err := strconv.Atoi(strings.TrimSpace(s.read(wire.ChannelMain)))
	if err != nil {
		t.Fatal(err)
	}
	if x := s.exit(); x.Status != 4 {
		t.Errorf("exit = %+v, want 4", x)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("the end took %v", d)
	}
	if alive(pid) {
		t.Error("a background process outlived its session")
	}
}

func TestOrders(t *testing.T) {
	w := newWorld(t)
	w.start(agent.Config{})
	l := w.link()
	s := w.run(l, sess.KindExec, sess.Params{Argv: []string{"sh", "-c", "trap 'echo last words; exit 9' HUP; echo up $$; while :; do sleep 0.05; done"}})
	s.expect(wire.ChannelMain, "up")
	w.order(l, wire.Order{Session: s.id, Reason: sess.EndEnded, By: "bob"})
	s.expect(wire.ChannelMain, "last words")
	if x := s.exit(); x.Status != 9 {
		t.Errorf("exit after a soft order = %+v, want 9", x)
	}
	s = w.run(l, sess.KindExec, sess.Params{Argv: []string{"sh", "-c", "trap '' HUP; echo $$; while :; do sleep 0.05; done"}})
	s.expect(wire.ChannelMain, "\n")
	w.order(l, wire.Order{Session: s.id, Reason: sess.EndEnded})
	if x := s.exit(); x.Signal != "SIGKILL" {
		t.Errorf("exit of a command that ignores SIGHUP = %+v, want SIGKILL", x)
	}
	s = w.run(l, sess.KindExec, sess.Params{Argv: []string{"sh", "-c", "echo $$; exec sleep 1000"}})
	pid, _ := strconv.Atoi(strings.TrimSpace(s.expect(wire.ChannelMain, "\n")))
	w.order(l, wire.Order{Session: s.id, Reason: sess.EndRevoked, Hard: true})
	eventually(t, "a hard order kills", func() bool { return !alive(pid) })
	eventually(t, "the agent leaves the relay", func() bool { return !w.relay(s.id).here(sess.SideAgent) })
}

func TestSessionSurvivesTheServer(t *testing.T) {
	w := newWorld(t)
	w.start(agent.Config{})
	l := w.link()
	s := w.run(l, sess.KindExec, sess.Params{Argv: []string{"cat"}})
	s.write("one ")
	s.expect(wire.ChannelMain, "one ")
	l.Close() // the control link and both streams go at once
	w.relay(s.id).cut(sess.SideAgent)
	w.relay(s.id).cut(sess.SideClient)
	s.write("two ")
	l = w.link()
	w.mu.Lock()
	hello := w.hellos[len(w.hellos)-1]
	w.mu.Unlock()
	if len(hello.Sessions) != 1 || hello.Sessions[0] != s.id {
		t.Errorf("hello lists %v, want %v", hello.Sessions, s.id)
	}
	w.serve(l)
	s.expect(wire.ChannelMain, "two ")
	s.Out(wire.ChannelMain).CloseWrite()
	s.read(wire.ChannelMain)
	s.read(wire.ChannelStderr)
	if x := s.exit(); x.Status != 0 {
		t.Errorf("exit = %+v", x)
	}
}

func TestEndedSessionIsForgotten(t *testing.T) {
	w := newWorld(t)
	w.start(agent.Config{})
	l := w.link()
	s := w.run(l, sess.KindExec, sess.Params{Argv: []string{"sh", "-c", "echo $$; exec sleep 1000"}})
	pid, _ := strconv.Atoi(strings.TrimSpace(s.expect(wire.ChannelMain, "\n")))
	w.relay(s.id).cut(sess.SideAgent)
	l.next(t, wire.ControlWant)
	if err := l.WriteControl(wire.Control{T: wire.ControlEnded, Session: s.id}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process is killed", func() bool { return !alive(pid) })
	eventually(t, "the hello lists no session", func() bool {
		l.Close()
		l = w.link()
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.hellos[len(w.hellos)-1].Sessions) == 0
	})
}

func TestStoppingTheAgentEndsItsSessions(t *testing.T) {
	w := newWorld(t)
	stop := w.start(agent.Config{})
	l := w.link()
	s := w.run(l, sess.KindExec, sess.Params{Argv: []string{"sh", "-c", "echo $$; exec sleep 1000"}})
	pid, _ := strconv.Atoi(strings.TrimSpace(s.expect(wire.ChannelMain, "\n")))
	stop()
	if alive(pid) {
		t.Error("a process outlived its agent")
	}
	st, err := agent.ReadStatus(w.state)
	if err != nil || st.Running || st.Connected || st.Sessions != 0 {
		t.Errorf("status of a stopped agent = %+v, %v", st, err)
	}
}

func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || pid == 0 {
		return false
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	return f[0] != "Z" && f[0] != "X"
}
