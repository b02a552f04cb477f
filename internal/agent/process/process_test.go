package process_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sessctl/sess/internal/agent/process"
	"github.com/sessctl/sess/internal/sess"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func supervisor(t *testing.T, noCgroup bool) *process.Supervisor {
	t.Helper()
	// The tests may have been started with nohup or &.
	if err := process.CleanSignals(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := process.NewSupervisor(t.Context(), process.Config{
		Instance: sess.NewInstanceID(), Boot: sess.NewBootID(), NoCgroup: noCgroup,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func self(t *testing.T) process.Account {
	t.Helper()
	acc, err := process.Accounts{}.Self(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return acc
}

func start(t *testing.T, s *process.Supervisor, spec process.Spec) *process.Process {
	t.Helper()
	if spec.Session == "" {
		spec.Session = sess.NewSessionID()
	}
	if spec.Account.Name == "" {
		spec.Account = self(t)
	}
	p, err := s.Start(spec)
	if err != nil {
		t.Fatalf("start %q: %v", spec.Argv, err)
	}
	t.Cleanup(func() { p.Kill(); p.Wait(); p.Close() })
	return p
}

// readAll reads until end of file, and fails when that takes too long.
func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	done := make(chan []byte, 1)
	go func() { b, _ := io.ReadAll(r); done <- b }()
	select {
	case b := <-done:
		return string(b)
	case <-time.After(10 * time.Second):
		t.Fatal("no end of file")
		return ""
	}
}

// expect reads until want has come.
func expect(t *testing.T, r io.Reader, want string) string {
	t.Helper()
	done := make(chan string, 1)
	go func() {
		var b bytes.Buffer
		p := make([]byte, 4096)
		for !strings.Contains(b.String(), want) {
			n, err := r.Read(p)
			b.Write(p[:n])
			if err != nil {
				break
			}
		}
		done <- b.String()
	}()
	select {
	case got := <-done:
		if !strings.Contains(got, want) {
			t.Fatalf("output = %q, want %q in it", got, want)
		}
		return got
	case <-time.After(10 * time.Second):
		t.Fatalf("%q did not come", want)
		return ""
	}
}

func TestExitStatusAndSignal(t *testing.T) {
	s := supervisor(t, false)
	for script, want := range map[string]sess.Exit{
		"exit 0":        {},
		"exit 7":        {Status: 7},
		"kill -TERM $$": {Status: 143, Signal: "SIGTERM"},
		"kill -KILL $$": {Status: 137, Signal: "SIGKILL"},
	} {
		if got := start(t, s, process.Spec{Argv: []string{"sh", "-c", script}}).Wait(); got != want {
			t.Errorf("%s: exit = %+v, want %+v", script, got, want)
		}
	}
}

func TestArgumentsArriveAsGiven(t *testing.T) {
	s := supervisor(t, false)
	args := []string{"a b", "", "*", "$HOME", `"q'`, "é\n", "-n"}
	p := start(t, s, process.Spec{Argv: append([]string{"printf", "<%s>"}, args...)})
	want := "<" + strings.Join(args, "><") + ">"
	if got := readAll(t, p.Output()); got != want {
		t.Errorf("printf = %q, want %q", got, want)
	}
}

func TestStreamsAreApartAndEndOfFilePasses(t *testing.T) {
	s := supervisor(t, false)
	p := start(t, s, process.Spec{Argv: []string{"sh", "-c", "cat; echo err >&2; exit 3"}})
	_, _ = io.WriteString(p.Input(), "\x00in\xff")
	if err := p.CloseInput(); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, p.Output()); got != "\x00in\xff" {
		t.Errorf("output = %q", got)
	}
	if got := readAll(t, p.Errors()); got != "err\n" {
		t.Errorf("errors = %q", got)
	}
	if got := p.Wait(); got.Status != 3 {
		t.Errorf("exit = %+v, want 3", got)
	}
}

func TestStartErrors(t *testing.T) {
	s := supervisor(t, false)
	dir := t.TempDir()
	notExec := filepath.Join(dir, "plain")
	noInterp := filepath.Join(dir, "script")
	if err := errors.Join(os.WriteFile(notExec, []byte("x"), 0o600), os.WriteFile(noInterp, []byte("#!/no/such\n"), 0o700)); err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		spec   process.Spec
		status int
		text   string
	}{
		{process.Spec{Argv: []string{"no-such-command-x"}}, 127, "no-such-command-x: command not found"},
		{process.Spec{Argv: []string{"/no/such"}}, 127, "/no/such: command not found"},
		{process.Spec{Argv: []string{notExec}}, 126, notExec + ": permission denied"},
		{process.Spec{Argv: []string{noInterp}}, 127, "its interpreter is missing"},
		{process.Spec{Argv: []string{"/"}}, 126, "/: permission denied"},
		{process.Spec{Argv: []string{"true"}, Cwd: "/no/such"}, 126, "cannot enter directory /no/such: no such file"},
		{process.Spec{Argv: []string{"true"}, Cwd: notExec}, 126, "not a directory"},
		{process.Spec{Argv: []string{"true", big, big, big}}, 126, "larger than this machine allows"},
	} {
		c.spec.Account, c.spec.Session = self(t), sess.NewSessionID()
		_, err := s.Start(c.spec)
		var e *process.StartError
		if !errors.As(err, &e) || e.Status != c.status || !strings.Contains(e.Message, c.text) {
			t.Errorf("start %.20q in %q = %v, want status %d and %q", c.spec.Argv, c.spec.Cwd, err, c.status, c.text)
		}
	}
}

func TestLoginShellAndEnvironment(t *testing.T) {
	s := supervisor(t, false)
	acc := self(t)
	acc.Shell, acc.Home = "/bin/bash", t.TempDir()
	if err := os.WriteFile(filepath.Join(acc.Home, ".bash_profile"), []byte("echo profile-read\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LEAKED", "from the agent")
	id := sess.NewSessionID()
	p := start(t, s, process.Spec{
		Session: id, Account: acc, TTY: true, Term: "screen-256color", Cols: 99, Rows: 33,
		Env: map[string]string{"LANG": "C.UTF-8", "GREETING": "hi"},
	})
	_, _ = io.WriteString(p.Input(), "echo \"[$0 $PWD $TERM $LANG $GREETING $LEAKED $SESS_SESSION $USER]\"; stty size; tty; exit 5\n")
	out := readAll(t, p.Output())
	for _, want := range []string{
		"profile-read", "33 99", "/dev/pts/",
		fmt.Sprintf("[-bash %s screen-256color C.UTF-8 hi  %s %s]", acc.Home, id, acc.Name),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
	if got := p.Wait(); got.Status != 5 {
		t.Errorf("exit = %+v, want 5", got)
	}
}

func TestHomeThatCantBeEntered(t *testing.T) {
	s := supervisor(t, false)
	acc := self(t)
	acc.Home = "/no/such/home"
	p := start(t, s, process.Spec{Account: acc, Argv: []string{"pwd"}})
	if got := readAll(t, p.Output()); got != "/\n" || !strings.Contains(p.Warning, "/no/such/home") {
		t.Errorf("pwd = %q, warning %q", got, p.Warning)
	}
}

func TestAsAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	s := supervisor(t, false)
	dir := t.TempDir()
	passwd, group := filepath.Join(dir, "passwd"), filepath.Join(dir, "group")
	if err := errors.Join(
		os.WriteFile(passwd, []byte("root:x:0:0::/root:/bin/sh\nsesstest:x:54321:54322::/:/bin/sh\n"), 0o600),
		os.WriteFile(group, []byte("one:x:54323:other,sesstest\ntwo:x:54324:sesstest\nthree:x:54325:sesstes\n"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	acc, err := process.Accounts{Passwd: passwd, Group: group}.Lookup(t.Context(), "sesstest")
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, s, process.Spec{Account: acc, TTY: true, Argv: []string{"sh", "-c", `id -u; id -g; id -G; stat -c %u:%a $(tty); touch /root/x || echo "refused"`}})
	out := readAll(t, p.Output())
	want := "54321\r\n54322\r\n54322 54323 54324\r\n54321:620\r\n"
	if !strings.HasPrefix(out, want) || !strings.Contains(out, "refused") {
		t.Errorf("output = %q, want %q at its start, and refused", out, want)
	}
	p = start(t, s, process.Spec{Account: acc, Argv: []string{"cat", "/proc/self/status"}})
	status := readAll(t, p.Output())
	for _, want := range []string{"CapEff:\t0000000000000000", "SigIgn:\t0000000000000000", "SigBlk:\t0000000000000000"} {
		if !strings.Contains(status, want) {
			t.Errorf("status of a user's process lacks %q:\n%s", want, status)
		}
	}
}

func TestJobControl(t *testing.T) {
	s := supervisor(t, false)
	acc := self(t)
	acc.Shell, acc.Home = "/bin/bash", t.TempDir()
	p := start(t, s, process.Spec{Account: acc, TTY: true, Env: map[string]string{"PS1": "$ "}})
	send := func(text string) { _, _ = io.WriteString(p.Input(), text) }
	send(`bash -c 'trap "echo con\"\"tinued" CONT; trap "exit 130" INT; echo rea""dy; while :; do sleep 0.05; done'` + "\n")
	expect(t, p.Output(), "ready\r\n")
	send("\x1a") // Ctrl-Z
	expect(t, p.Output(), "Stopped")
	send("fg\n")
	expect(t, p.Output(), "continued\r\n")
	send("\x03") // Ctrl-C
	expect(t, p.Output(), "^C")
	send("echo st=$?\n")
	expect(t, p.Output(), "st=130")
	send("sh -c 'echo go; kill -STOP $$; echo on'\n")
	expect(t, p.Output(), "Stopped")
	send("exit\nexit 4\n") // there are stopped jobs: the first exit only warns
	if got := p.Wait(); got.Status != 4 {
		t.Errorf("exit = %+v, want 4", got)
	}
}

func TestSignalReachesForegroundGroup(t *testing.T) {
	s := supervisor(t, false)
	p := start(t, s, process.Spec{TTY: true, Argv: []string{"bash", "-c", "set -m; trap 'echo outer' INT; (trap 'echo in''ner; exit 9' INT; echo re''ady; while :; do sleep 0.05; done); echo st=$?"}})
	expect(t, p.Output(), "ready")
	if err := p.Signal("SIGINT"); err != nil {
		t.Fatal(err)
	}
	out := expect(t, p.Output(), "st=9")
	if !strings.Contains(out, "inner") || strings.Contains(out, "outer") {
		t.Errorf("output = %q", out)
	}
	if err := p.Signal("SIGNONE"); err == nil {
		t.Error("an unknown signal is accepted")
	}
	q := start(t, s, process.Spec{Argv: []string{"sleep", "100"}})
	if err := q.Signal("SIGUSR1"); err != nil {
		t.Fatal(err)
	}
	if got := q.Wait(); got.Signal != "SIGUSR1" || got.Status != 138 {
		t.Errorf("exit = %+v, want SIGUSR1", got)
	}
}

func TestRawPasteLosesNothing(t *testing.T) {
	s := supervisor(t, false)
	const size = 10 << 20
	p := start(t, s, process.Spec{TTY: true, Argv: []string{"sh", "-c", "stty raw -echo; echo ready; head -c " + strconv.Itoa(size) + " | md5sum"}})
	expect(t, p.Output(), "ready")
	paste := bytes.Repeat([]byte("0123456789abcdef\x03\x04\x1a\x00\r\n\x7f\xff"), size/24+1)[:size]
	go func() { _, _ = p.Input().Write(paste) }()
	cmd := start(t, s, process.Spec{Argv: []string{"md5sum"}})
	_, _ = cmd.Input().Write(paste)
	_ = cmd.CloseInput()
	want := readAll(t, cmd.Output())
	if got := readAll(t, p.Output()); strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("md5 of what a raw program read = %q, want %q", got, want)
	}
}

// daemons start processes that try to outlive their session, each printing its pid first.
var daemons = map[string]string{
	"background":     `sleep 1000 >/dev/null 2>&1 & echo $!`,
	"nohup":          `nohup sleep 1000 >/dev/null 2>&1 & echo $!`,
	"setsid":         `setsid sh -c 'echo $$; exec sleep 1000 >/dev/null 2>&1' &`,
	"double fork":    `(setsid sh -c 'echo $$; exec sleep 1000 >/dev/null 2>&1' &) ; sleep 0.1`,
	"no environment": `(env -i setsid sh -c 'echo $$; exec sleep 1000 >/dev/null 2>&1' &) ; sleep 0.1`,
	"ignores all":    `(setsid sh -c 'trap "" HUP TERM INT; echo $$; while :; do sleep 0.2; done >/dev/null 2>&1' &) ; sleep 0.1`,
}

func TestKillTakesTheWholeTree(t *testing.T) {
	for _, noCgroup := range []bool{false, true} {
		s := supervisor(t, noCgroup)
		for name, script := range daemons {
			for _, tty := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/tty=%v", s.Holds(), name, tty), func(t *testing.T) {
					p := start(t, s, process.Spec{TTY: tty, Argv: []string{"bash", "-c", script + "\nwait -n 2>/dev/null; exec sleep 1000"}})
					out := expect(t, p.Output(), "\n")
					pid, err := strconv.Atoi(strings.TrimSpace(out))
					if err != nil {
						t.Fatalf("output %q is no pid", out)
					}
					if !alive(pid) {
						t.Fatal("the daemon never lived")
					}
					p.Kill()
					p.Wait()
					if alive(pid) {
						t.Error("the daemon outlived its session")
					}
				})
			}
		}
	}
}

func TestKillSparesOtherSessions(t *testing.T) {
	for _, noCgroup := range []bool{false, true} {
		s := supervisor(t, noCgroup)
		a := start(t, s, process.Spec{Argv: []string{"sleep", "1000"}})
		b := start(t, s, process.Spec{Argv: []string{"sleep", "1000"}})
		a.Kill()
		a.Wait()
		if !alive(b.Pid()) {
			t.Errorf("%s: killing one session killed another", s.Holds())
		}
	}
}

func TestOutputSurvivesKill(t *testing.T) {
	s := supervisor(t, false)
	p := start(t, s, process.Spec{Argv: []string{"sh", "-c", "head -c 50000 /dev/zero; echo done >&2; exec sleep 1000"}})
	expect(t, p.Errors(), "done")
	p.Kill()
	if n := len(readAll(t, p.Output())); n != 50000 {
		t.Errorf("%d bytes came, want 50000", n)
	}
	if got := p.Wait(); got.Signal != "SIGKILL" {
		t.Errorf("exit = %+v", got)
	}
}

func TestLeftoversOfOlderBootsAreKilled(t *testing.T) {
	for _, noCgroup := range []bool{false, true} {
		cfg := process.Config{Instance: sess.NewInstanceID(), Boot: sess.NewBootID(), NoCgroup: noCgroup, Log: slog.New(slog.DiscardHandler)}
		first, err := process.NewSupervisor(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		stranger := start(t, supervisor(t, noCgroup), process.Spec{Argv: []string{"sleep", "1000"}})
		p := start(t, first, process.Spec{Argv: []string{"sleep", "1000"}})
		if n := first.KillLeftovers(); n != 0 {
			t.Errorf("an agent killed %d processes of its own boot", n)
		}
		cfg.Boot = sess.NewBootID()
		second, err := process.NewSupervisor(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if n := second.KillLeftovers(); n == 0 {
			t.Error("no leftovers found")
		}
		if got := p.Wait(); got.Signal != "SIGKILL" {
			t.Errorf("leftover: %+v, want killed", got)
		}
		if !alive(stranger.Pid()) {
			t.Error("another agent's process was killed")
		}
	}
}

func TestClosingOutputStopsTheWriter(t *testing.T) {
	s := supervisor(t, false)
	p := start(t, s, process.Spec{Argv: []string{"yes"}})
	expect(t, p.Output(), "y\n")
	_ = p.Output().Close()
	if got := p.Wait(); got.Signal != "SIGPIPE" {
		t.Errorf("exit = %+v, want SIGPIPE", got)
	}
}

func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	return !slices.Contains([]string{"Z", "X"}, f[0])
}
