package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptsLast bounds the time of all scripts: what still runs then is killed, and fails.
const scriptsLast = 4 * time.Minute

// TestScripts runs testdata/*.txtar with the real programs. Besides testscript's own commands there are:
//
//	code N PROGRAM ARG…      run it; it must exit with N
//	sh N SCRIPT              the same, of a shell
//	set NAME PROGRAM ARG…    keep what it prints as $NAME
//	until REGEXP PROGRAM ARG…  run it again and again until its output matches
//	own [AGENT…]             from here on the script has a server of its own, with these agents
//	server start|stop|kill9  of the script's own server
//	agent add|start|stop|kill9 NAME
//	agekey NAME [PASSPHRASE]  a key of age in NAME.key, its public key as $NAME in capitals
//	smtp start               a mail server, which the script's own server uses from its next start on; mails are $MAIL/1, …
//	hook start               a receiver of webhooks at $HOOK; what it was told is in $TOLD
//	hook refuse STATUS       it takes nothing; 0: no more
//	smtp refuse CODE         it refuses mail; 0: no more
//
// Scripts begin as the admin of a server that they share, on which the agent web-1 runs. $SERVER is its URL with the pin,
// $DATA the server's data directory, $PASSWORD a file with the admin's password and $EMAIL their address.
func TestScripts(t *testing.T) {
	t.Parallel()
	w := commons(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Deadline:            time.Now().Add(scriptsLast),
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", binaries+":"+os.Getenv("PATH"))
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("TOP", filepath.Dir(binaries)) // others may look into it
			env.Setenv("TERM", "dumb")
			env.Setenv("LC_ALL", "C.UTF-8")
			if err := os.Chmod(env.WorkDir, 0o755); err != nil {
				return err
			}
			env.Values[ownKey{}] = &own{t: t}
			env.Values[mailKey{}] = &mailOf{}
			env.Values[hookKey{}] = &hook{}
			return w.lend(env.Setenv, filepath.Join(env.WorkDir, "config"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": cmdCode, "sh": cmdSh, "set": cmdSet, "until": cmdUntil,
			"hook": cmdHook,
			"smtp": cmdSMTP, "totp": cmdTOTP,
			"own": cmdOwn, "server": cmdServer, "agent": cmdAgent, "agekey": cmdAgekey,
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Getuid() == 0, nil
			case "race":
				return raced(), nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	})
}

// lend makes a script the admin of w, with files of its own.
func (w *world) lend(setenv func(k, v string), config string) error {
	if err := os.CopyFS(config, os.DirFS(w.path("admin"))); err != nil {
		return err
	}
	for _, f := range []string{"config.json", "credentials.json"} {
		if err := os.Chmod(filepath.Join(config, f), 0o600); err != nil {
			return err
		}
	}
	link, err := w.link()
	setenv("SESSCTL_CONFIG_DIR", config)
	setenv("SERVER", w.url())
	setenv("LINK", link)
	setenv("DATA", w.path("data"))
	setenv("WORLD", w.dir)
	setenv("EMAIL", adminEmail)
	setenv("PASSWORD", w.path("password"))
	return err
}

func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	began := time.Now()
	got := exitOf(ts.Exec(args[1], args[2:]...))
	if got != want {
		ts.Fatalf("exit %d, want %d, after %s\nstdout: %.2000s\nstderr: %.2000s", got, want, time.Since(began).Round(time.Millisecond), ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

func exitOf(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			return 1000 + int(s.Signal()) // a signal that nobody caught is no exit code
		}
		return exit.ExitCode()
	}
	return -1
}

func cmdSh(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sh N SCRIPT")
	}
	cmdCode(ts, false, []string{args[0], "bash", "-c", args[1]})
}

func cmdSet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: set NAME PROGRAM ARG…")
	}
	cmdCode(ts, false, append([]string{"0"}, args[1:]...))
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP PROGRAM ARG…")
	}
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	ts.Check(poll(strings.Join(args[1:], " "), func() error {
		err := ts.Exec(args[1], args[2:]...)
		if out := ts.ReadFile("stdout"); !re.MatchString(out) {
			return errors.Join(fmt.Errorf("no match for %q in %.2000q; stderr %.500q", args[0], out, ts.ReadFile("stderr")), err)
		}
		return nil
	}))
}

// ownKey finds the world of a script's own among its values.
type ownKey struct{}

type own struct {
	t *testing.T // of all scripts
	w *world
}

func ownWorld(ts *testscript.TestScript) *world {
	o := ts.Value(ownKey{}).(*own)
	if o.w == nil {
		ts.Fatalf("the script needs a server of its own for this: own")
	}
	return o.w
}

func cmdOwn(ts *testscript.TestScript, neg bool, args []string) {
	o := ts.Value(ownKey{}).(*own)
	if neg || o.w != nil {
		ts.Fatalf("own is said once")
	}
	w, err := newWorld("")
	ts.Check(err)
	o.w = w
	ts.Defer(func() {
		if w.server != nil {
			if err := errors.Join(w.evidence(), w.races()); err != nil {
				o.t.Errorf("%s: the evidence of the script's own server: %v", ts.Name(), err)
			}
		}
		w.close()
	})
	ts.Check(w.accept())
	for _, name := range args {
		ts.Check(w.addAgent(name))
	}
	config := filepath.Join(ts.Getenv("WORK"), "config")
	ts.Check(os.RemoveAll(config))
	ts.Check(w.lend(ts.Setenv, config))
}

func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	w := ownWorld(ts)
	if neg || len(args) != 1 {
		ts.Fatalf("usage: server start|stop|kill9")
	}
	switch args[0] {
	case "start":
		ts.Check(w.startServer())
	case "stop":
		ts.Check(w.stopServer(syscall.SIGTERM))
	case "kill9":
		ts.Check(w.stopServer(syscall.SIGKILL))
	default:
		ts.Fatalf("server %s?", args[0])
	}
}

func cmdAgent(ts *testscript.TestScript, neg bool, args []string) {
	w := ownWorld(ts)
	if neg || len(args) != 2 {
		ts.Fatalf("usage: agent add|start|stop|kill9 NAME")
	}
	switch args[0] {
	case "add":
		ts.Check(w.addAgent(args[1]))
	case "start":
		ts.Check(w.startAgent(args[1]))
	case "stop":
		ts.Check(w.stopAgent(args[1], syscall.SIGTERM))
	case "kill9":
		ts.Check(w.stopAgent(args[1], syscall.SIGKILL))
	default:
		ts.Fatalf("agent %s?", args[0])
	}
}
