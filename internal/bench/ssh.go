//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"time"
)

// sshd settings beside those of Debian's package: our own keys and no limit on sessions that start at once.
const sshdConfig = `ListenAddress 127.0.0.1
Port %d
HostKey %s/host
AuthorizedKeysFile %[2]s/user.pub
PidFile none
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM %s
X11Forwarding yes
PrintMotd no
AcceptEnv LANG LC_*
MaxStartups 1000
`

const sshConfig = `Host target
  HostName 127.0.0.1
  Port %d
Host jump
  HostName 127.0.0.1
  Port %d
Host *
  User %s
  IdentityFile %s/user
  IdentitiesOnly yes
  UserKnownHostsFile %[4]s/known
  StrictHostKeyChecking accept-new
  LogLevel ERROR
  SendEnv LANG LC_*
`

// startSSH starts two sshd, the second one for -J, and gives the direct and the indirect way.
func (b *bench) startSSH() ([]*system, error) {
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		return nil, fmt.Errorf("%w: install openssh-server (scripts/deps does it on Debian)", err)
	}
	who, err := user.Current()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, "ssh")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	for _, name := range []string{"host", "user"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	pam := "no" // only root may ask PAM
	if os.Geteuid() == 0 {
		pam = "yes"
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return nil, err
		}
	}
	target, err := b.startSSHD(sshd, dir, "target", pam)
	if err != nil {
		return nil, err
	}
	jump, err := b.startSSHD(sshd, dir, "jump", pam)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config")
	text := fmt.Sprintf(sshConfig, target.port, jump.port, who.Username, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	t, j := daemon{"sshd", target.pid}, daemon{"sshd of the jump", jump.pid}
	return []*system{
		sshSystem(sshDirect, []daemon{t}, "-F", config),
		sshSystem(sshJump, []daemon{j, t}, "-F", config, "-J", "jump"),
	}, nil
}

type sshServer struct{ port, pid int }

func (b *bench) startSSHD(program, dir, name, pam string) (sshServer, error) {
	port, err := freePort()
	if err != nil {
		return sshServer{}, err
	}
	config := filepath.Join(dir, name+".conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, sshdConfig, port, dir, pam), 0o600); err != nil {
		return sshServer{}, err
	}
	pid, err := b.daemon(filepath.Join(dir, name+".log"), program, "-D", "-e", "-f", config)
	if err != nil {
		return sshServer{}, err
	}
	return sshServer{port, pid}, waitPort(port)
}

func sshSystem(name string, parts []daemon, flags ...string) *system {
	ssh := func(args ...string) *exec.Cmd {
		return exec.Command("ssh", append(append([]string{}, flags...), args...)...)
	}
	return &system{
		name: name, client: "ssh", parts: parts,
		shell: func(script string) *exec.Cmd { return ssh("-t", "target", script) },
		exec: func(argv ...string) *exec.Cmd {
			words := []string{"-T", "target"}
			for _, a := range argv {
				words = append(words, quote(a))
			}
			return ssh(words...)
		},
	}
}

// daemon starts a program that is ended with this one.
func (b *bench) daemon(log, name string, args ...string) (pid int, err error) {
	out, err := os.Create(log)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	b.ends = append(b.ends, func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// waitPort waits until something listens on the port.
func waitPort(port int) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	for end := time.Now().Add(10 * time.Second); ; <-ticker.C {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(end) {
			return fmt.Errorf("nothing listens: %w", err)
		}
	}
}

// versionOf gives the first line a program says about itself.
func versionOf(name string, args ...string) string {
	out, _ := exec.Command(name, args...).CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}
