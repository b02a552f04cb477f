package server_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/server"
	"github.com/sessctl/sess/internal/store/storetest"
)

// machine is a place to install on: a mount namespace in which everything the agent writes to is a file system of its
// own, gone with the namespace. The programs of the real machine are there to be used.
const machine = `
set -eu
mount --make-rprivate /
for d in /etc/systemd/system /var/lib /var/log /run /usr/local /root; do mount -t tmpfs tmpfs "$d"; done
mkdir -p /usr/local/bin
trap 'pkill -P $$ 2>/dev/null || true; [ ! -s /run/agent.pid ] || kill "$(cat /run/agent.pid)" || true' EXIT
# What sudo would do for root.
printf '#!/bin/sh\nexec "$@"\n' >/usr/local/bin/sudo
chmod 755 /usr/local/bin/sudo
export HOME=/root PATH=/usr/local/bin:/usr/bin:/bin
unset SESS_AGENT_STATE_DIR SESS_AGENT_CONFIG || true
`

// systemd is a stand-in for systemctl that starts and stops what the unit says.
const systemd = `
mkdir -p /run/systemd/system
cat >/usr/local/bin/systemctl <<'FAKE'
#!/bin/sh
echo "$*" >>/run/systemctl.calls
unit=/etc/systemd/system/sess-agent.service
stop() { [ ! -s /run/agent.pid ] || { kill "$(cat /run/agent.pid)"; while kill -0 "$(cat /run/agent.pid)" 2>/dev/null; do sleep 0.05; done; : >/run/agent.pid; }; }
case $* in
"restart sess-agent.service") stop; $(sed -n 's/^ExecStart=//p' $unit) >/run/agent.log 2>&1 </dev/null & echo $! >/run/agent.pid ;;
*disable*--now*) stop ;;
esac
FAKE
chmod 755 /usr/local/bin/systemctl
`

// bare is a PATH with busybox, curl and what the script may use, and without systemctl.
const bare = `
mkdir -p /run/bin
for t in $(busybox --list); do ln -s "$(command -v busybox)" "/run/bin/$t"; done
for t in curl busybox; do ln -s "$(command -v "$t")" /run/bin/"$t"; done
rm -f /run/bin/wget
ln -s /usr/local/bin/sudo /run/bin/sudo
export PATH=/run/bin
`

// inMachine runs a shell script there and gives what it printed.
func inMachine(t *testing.T, script string) (stdout, stderr string, err error) {
	t.Helper()
	args := []string{"-m"}
	if os.Getuid() != 0 {
		args = []string{"-rm"}
	}
	cmd := exec.CommandContext(t.Context(), "unshare", append(args, "sh", "-c", script)...)
	cmd.WaitDelay = 5 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// installLine starts a server that has the agent to give, and returns the line an admin would paste.
func installLine(t *testing.T) (*server.Server, *api.Client, string) {
	t.Helper()
	if _, stderr, err := inMachine(t, machine); err != nil {
		t.Skipf("SKIPPED: no namespace to install in: %v: %s", err, stderr)
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "sess-agent-linux-"+runtime.GOARCH)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/sess-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "SHA256SUMS"), fmt.Appendf(nil, "%x  %s\n", sha256.Sum256(b), filepath.Base(bin)), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config(t, storetest.Dir(t))
	cfg.AgentBinaries = dir
	s, _ := start(t, cfg)
	c := accept(t, s)
	return s, c, newLine(t, c)
}

// newLine makes a token and gives the line with it.
func newLine(t *testing.T, c *api.Client) string {
	t.Helper()
	token, err := api.Call(t.Context(), c, api.CreateToken, api.TokenIn{})
	if err != nil {
		t.Fatal(err)
	}
	if token.InstallLine == "" {
		t.Fatal("no line to install with")
	}
	return token.InstallLine
}

func TestInstallScript(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: builds the agent")
	}
	_, c, line := installLine(t)
	online := func(name string) bool {
		in, err := api.Call(t.Context(), c, api.GetInstance, api.InstanceRef{Instance: name})
		return err == nil && in.Online
	}

	t.Run("with systemd, again, and uninstall", func(t *testing.T) {
		stdout, stderr, err := inMachine(t, machine+systemd+line+" --name with-systemd\n"+
			"cat /run/systemctl.calls >&2; test -s /etc/systemd/system/sess-agent.service\n"+
			"ls -l /var/lib/sess-agent >&2\n"+
			newLine(t, c)+" --name second-time\n"+ // an upgrade keeps the key
			// uninstall takes the same script; nothing is left
			uninstall(line)+
			"! test -e /usr/local/bin/sess-agent\n! test -e /etc/systemd/system/sess-agent.service\n! test -e /var/lib/sess-agent/key\n! test -s /run/agent.pid\n")
		if err != nil || stdout != "sessctl start with-systemd\nsessctl start with-systemd\n" {
			t.Fatalf("%v\nstdout %q\nstderr %s", err, stdout, stderr)
		}
		for _, want := range []string{"enable sess-agent.service", "daemon-reload", "already; keeping its key", "removed /usr/local/bin/sess-agent"} {
			if !strings.Contains(stderr, want) {
				t.Errorf("no %q in\n%s", want, stderr)
			}
		}
	})

	t.Run("busybox without systemd", func(t *testing.T) {
		if _, err := exec.LookPath("busybox"); err != nil {
			t.Skip("SKIPPED: no busybox")
		}
		stdout, stderr, err := inMachine(t, machine+bare+newLine(t, c)+" --name bare\n")
		if err != nil || stdout != "" || !strings.Contains(stderr, "start it with:  /usr/local/bin/sess-agent run") {
			t.Fatalf("%v\nstdout %q\nstderr %s", err, stdout, stderr)
		}
		if online("bare") {
			t.Error("it is online, though nothing was to be started")
		}
		stdout, stderr, err = inMachine(t, machine+bare+newLine(t, c)+" --name background --background || { cat /var/log/sess-agent.log >&2; exit 1; }\n"+
			"/usr/local/bin/sess-agent status >&2\nkill $(sed -n 's/.*\"pid\":\\([0-9]*\\).*/\\1/p' /var/lib/sess-agent/status*) || true\n")
		if err != nil || stdout != "sessctl start background\n" {
			t.Fatalf("%v\nstdout %q\nstderr %s", err, stdout, stderr)
		}
	})

	t.Run("what goes wrong is said", func(t *testing.T) {
		used := newLine(t, c)
		for _, tc := range []struct{ name, script, want string }{
			{"used token", machine + used + "; rm -rf /var/lib/sess-agent; " + used, "could not be enrolled"},
			{"no token", machine + before(line, " --token "), "no --token is given"},
			{"no server", machine + before(line, " --server ") + " --token x", "no --server is given"},
			{"unknown argument", machine + line + " --bogus", "unknown argument --bogus"},
		} {
			stdout, stderr, err := inMachine(t, tc.script)
			if err == nil || stdout != "" || !strings.Contains(stderr, tc.want) {
				t.Errorf("%s: %v\nstdout %q\nstderr %s", tc.name, err, stdout, stderr)
			}
		}
	})

	t.Run("another key is refused", func(t *testing.T) {
		other, _ := start(t, config(t, storetest.Dir(t)))
		// The script of this server, told to install from that one with this one's pin.
		_, pin, _ := strings.Cut(line, "#pin=sha256:")
		pin = pin[:64]
		u, _, _ := strings.Cut(other.URL(), "#")
		script := machine + before(line, " --server ") + " --server '" + u + "#pin=sha256:" + pin + "' --token x"
		_, stderr, err := inMachine(t, script)
		if err == nil || !strings.Contains(stderr, "can't get /agent/SHA256SUMS") {
			t.Errorf("%v\nstderr %s", err, stderr)
		}
	})
}

// uninstall gives the line that removes the agent again.
func uninstall(line string) string { return before(line, " --server ") + " --uninstall\n" }

func before(s, sep string) string {
	out, _, _ := strings.Cut(s, sep)
	return out
}

func TestInstallScriptIsPOSIX(t *testing.T) {
	for _, shell := range [][]string{{"sh"}, {"dash"}, {"busybox", "sh"}, {"bash", "--posix"}} {
		if _, err := exec.LookPath(shell[0]); err != nil {
			t.Logf("no %s here", shell[0])
			continue
		}
		if out, err := exec.CommandContext(t.Context(), shell[0], append(shell[1:], "-n", "install.sh")...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v: %s", shell, err, out)
		}
	}
	if _, err := exec.LookPath("shellcheck"); err == nil {
		if out, err := exec.CommandContext(t.Context(), "shellcheck", "-s", "sh", "install.sh").CombinedOutput(); err != nil {
			t.Errorf("shellcheck: %s", out)
		}
	}
}
