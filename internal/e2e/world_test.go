package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
)

const (
	adminEmail    = "admin@example.com"
	adminPassword = "correct horse 7 battery"
	patience      = 30 * time.Second      // until something that must happen has happened
	pollEvery     = 20 * time.Millisecond // how often one looks
)

// world is a server with agents, and an admin who is logged in.
type world struct {
	dir    string
	key    string   // an API key of the admin's, for looking at the evidence however the test left the login
	public string   // the URL in front of proxies; empty: the server's own
	flags  []string // more of the server's

	lmu    sync.Mutex // protects the following
	listen string     // once known, so that a restarted server is where it was

	mu     sync.Mutex // protects the following
	server *process
	agents map[string]*process
	routes map[string][]string // more environment by agent
	mail   []string            // environment of the server: the mail server
}

// process is one of our programs that runs.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// kill ends p by a signal and waits for its end.
func (p *process) kill(sig syscall.Signal) error {
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not end within %s of %v", p.cmd.Path, patience, sig)
	}
}

// spawn runs a program of ours in its own process group, with its output appended to dir/log.
func (w *world) spawn(log string, env []string, name string, args ...string) (*process, error) {
	f, err := os.OpenFile(filepath.Join(w.dir, log+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := exec.Command(filepath.Join(binaries, name), args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() { _ = cmd.Wait(); close(p.done) }()
	return p, nil
}

// poll looks until there is nothing wrong any more.
func poll(what string, wrong func() error) error { return pollFor(patience, what, wrong) }

func pollFor(limit time.Duration, what string, wrong func() error) error {
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := wrong()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: still not so after %s: %w", what, limit, err)
		}
		<-tick.C
	}
}

// newWorld starts a server. public, if not empty, is the URL that it is reached by through proxies; more is said by options.
func newWorld(public string, options ...func(*world)) (*world, error) {
	dir, err := os.MkdirTemp(filepath.Dir(binaries), "world.")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, public: public, listen: "127.0.0.1:0", agents: map[string]*process{}, routes: map[string][]string{}}
	for _, o := range options {
		o(w)
	}
	return w, w.startServer()
}

// testWorld is a world of one test's own, with agents; its evidence is looked at in the end.
func testWorld(t *testing.T, agents ...string) *world {
	t.Helper()
	w, err := newWorld("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.finish(t) })
	w.mustAccept(t)
	for _, a := range agents {
		if err := w.addAgent(a); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// finish looks at what a test left behind.
func (w *world) finish(t *testing.T) {
	t.Helper()
	if err := errors.Join(w.evidence(), w.races()); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		w.dumpLogs(t)
	}
	w.close()
}

func (w *world) dumpLogs(t *testing.T) {
	t.Helper()
	logs, _ := filepath.Glob(filepath.Join(w.dir, "*.log"))
	for _, l := range logs {
		b, _ := os.ReadFile(l)
		t.Logf("%s:\n%s", filepath.Base(l), b[max(0, len(b)-2500):])
	}
}

func (w *world) mustAccept(t *testing.T) {
	t.Helper()
	if err := w.accept(); err != nil {
		t.Fatal(err)
	}
}

// shared is the world that most tests live in.
var shared struct {
	sync.Mutex
	w *world
}

// commons gives the shared world, with the agent web-1.
func commons(t testing.TB) *world {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.w == nil {
		w, err := newWorld("")
		if err == nil {
			err = w.accept()
		}
		if err == nil {
			err = w.addAgent("web-1")
		}
		if err != nil {
			t.Fatal(err)
		}
		shared.w = w
	}
	return shared.w
}

func (w *world) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.agents {
		_ = p.kill(syscall.SIGTERM)
	}
	if w.server != nil {
		_ = w.server.kill(syscall.SIGTERM)
	}
	_ = os.RemoveAll(w.dir)
}

func (w *world) path(parts ...string) string {
	return filepath.Join(append([]string{w.dir}, parts...)...)
}

// address is where the server listens.
func (w *world) address() string {
	w.lmu.Lock()
	defer w.lmu.Unlock()
	return w.listen
}

var listensOn = regexp.MustCompile(`sess-server listens on (\S+);`)

func (w *world) startServer() error {
	_ = os.Remove(w.path("data", "url"))
	begin, _ := os.ReadFile(w.path("server.log"))
	args := []string{"serve", "--data-dir", w.path("data"), "--listen", w.address()}
	if w.public != "" {
		args = append(args, "--public-url", w.public)
	}
	args = append(args, w.flags...)
	p, err := w.spawn("server", w.mail, "sess-server", args...)
	if err != nil {
		return err
	}
	err = poll("the server is up", func() error {
		select {
		case <-p.done:
			log, _ := os.ReadFile(w.path("server.log"))
			return fmt.Errorf("it ended: %s", log[len(begin):])
		default:
		}
		if _, err := os.Stat(w.path("data", "url")); err != nil {
			return err
		}
		log, err := os.ReadFile(w.path("server.log"))
		if err != nil {
			return err
		}
		m := listensOn.FindSubmatch(log[len(begin):])
		if m == nil {
			return errors.New("it does not say where it listens")
		}
		w.lmu.Lock()
		w.listen = string(m[1])
		w.lmu.Unlock()
		return nil
	})
	if err != nil {
		_ = p.kill(syscall.SIGKILL)
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.server = p
	return nil
}

// stopServer ends the server by a signal.
func (w *world) stopServer(sig syscall.Signal) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.server == nil {
		return errors.New("there is no server")
	}
	p := w.server
	w.server = nil
	return p.kill(sig)
}

// url is the server's URL with its pin.
func (w *world) url() string {
	b, err := os.ReadFile(w.path("data", "url"))
	if err != nil {
		return "no-url:" + err.Error()
	}
	return strings.TrimSpace(string(b))
}

var acceptLink = regexp.MustCompile(`sessctl accept '([^']*)'`)

// link is the one-time link that the server prints a moment after it listens.
func (w *world) link() (link string, err error) {
	err = poll("the server prints a link", func() error {
		log, err := os.ReadFile(w.path("server.log"))
		if err != nil {
			return err
		}
		m := acceptLink.FindSubmatch(log)
		if m == nil {
			return errors.New("the server printed no link")
		}
		link = string(m[1])
		return nil
	})
	return link, err
}

// accept makes the admin, by the real client.
func (w *world) accept() error {
	link, err := w.link()
	if err != nil {
		return err
	}
	if err := os.WriteFile(w.path("password"), []byte(adminPassword+"\n"), 0o600); err != nil {
		return err
	}
	if err := w.do("accept", link, "--email", adminEmail, "--password-file", w.path("password")); err != nil {
		return err
	}
	a := w.ask(nil, "key", "create", "--name", "evidence")
	w.key = strings.TrimSpace(string(a.out))
	if a.code != 0 {
		return fmt.Errorf("key create: %s", a.err)
	}
	return nil
}

// env is the environment of the admin's client.
func (w *world) env(more ...string) []string {
	env := []string{}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SESSCTL_") && !strings.HasPrefix(kv, "TMUX") {
			env = append(env, kv)
		}
	}
	env = append(env, "SESSCTL_CONFIG_DIR="+w.path("admin"), "DBUS_SESSION_BUS_ADDRESS=", "TERM=xterm-256color", "LC_ALL=C.UTF-8")
	return append(append(env, w.routes["admin"]...), more...)
}

// ctl is sessctl, run by the admin; it does not outlive ctx.
func (w *world) ctl(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, "sessctl"), args...)
	cmd.Env = w.env()
	cmd.WaitDelay = time.Second
	return cmd
}

// answer is what a command said.
type answer struct {
	out, err []byte
	code     int
}

// ask runs sessctl as the admin, by the key once there is one, with input or none.
func (w *world) ask(in io.Reader, args ...string) answer {
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	cmd := w.ctl(ctx, args...)
	if w.key != "" {
		cmd.Env = append(cmd.Env, "SESSCTL_SERVER="+w.url(), "SESSCTL_API_KEY="+w.key)
	}
	return result(cmd, in)
}

// result runs cmd to its end.
func result(cmd *exec.Cmd, in io.Reader) answer {
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errs
	err := cmd.Run()
	a := answer{out: out.Bytes(), err: errs.Bytes()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		a.code = exit.ExitCode()
	case err != nil:
		a.code, a.err = -1, append(a.err, err.Error()...)
	}
	return a
}

// do runs sessctl as the admin; it must succeed.
func (w *world) do(args ...string) error {
	if a := w.ask(nil, args...); a.code != 0 {
		return fmt.Errorf("sessctl %.80q: exit %d: %s", args, a.code, a.err)
	}
	return nil
}

// get gives the JSON that sessctl prints.
func get[T any](w *world, args ...string) (T, error) {
	var v T
	a := w.ask(nil, append(args, "--json")...)
	if a.code != 0 {
		return v, fmt.Errorf("sessctl %q: exit %d: %s", args, a.code, a.err)
	}
	if err := json.Unmarshal(a.out, &v); err != nil {
		return v, fmt.Errorf("sessctl %q: %w: %.200s", args, err, a.out)
	}
	return v, nil
}

// addAgent enrols an agent under a name and runs it until it is online.
func (w *world) addAgent(name string) error {
	token := w.ask(nil, "token", "create")
	if token.code != 0 {
		return fmt.Errorf("token create: %s", token.err)
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	if err := os.WriteFile(w.path(name+".conf"), []byte("default_user = "+me.Username+"\n"), 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	enrol := exec.CommandContext(ctx, filepath.Join(binaries, "sess-agent"), "enroll", "--state-dir", w.path(name), "--server", w.url(), "--token-file", "-", "--name", name)
	enrol.Env = append(os.Environ(), w.routes[name]...)
	if a := result(enrol, bytes.NewReader(token.out)); a.code != 0 {
		return fmt.Errorf("enroll: exit %d: %s", a.code, a.err)
	}
	return w.startAgent(name)
}

func (w *world) startAgent(name string) error {
	p, err := w.spawn("agent-"+name, w.routes[name], "sess-agent", "run", "--state-dir", w.path(name), "--config", w.path(name+".conf"))
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.agents[name] = p
	w.mu.Unlock()
	return w.online(name)
}

// online waits until an agent is.
func (w *world) online(name string) error {
	w.mu.Lock()
	p := w.agents[name]
	w.mu.Unlock()
	return poll("agent "+name+" is online", func() error {
		select {
		case <-p.done:
			log, _ := os.ReadFile(w.path("agent-" + name + ".log"))
			return fmt.Errorf("it ended: %s", log)
		default:
		}
		i, err := get[api.Instance](w, "instance", "show", name)
		if err == nil && !i.Online {
			err = errors.New("it is offline")
		}
		return err
	})
}

func (w *world) stopAgent(name string, sig syscall.Signal) error {
	w.mu.Lock()
	p := w.agents[name]
	delete(w.agents, name)
	w.mu.Unlock()
	if p == nil {
		return fmt.Errorf("no agent %s runs", name)
	}
	return p.kill(sig)
}
