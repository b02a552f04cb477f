package process

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/sessctl/sess/internal/sess"
)

// Search paths where login.defs says nothing.
const (
	defaultPath     = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
	defaultRootPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// Variables every session has. MarkSession is for people and scripts too; both mark processes, so that none survives
// its session where there is no cgroup to hold it.
const (
	MarkSession = "SESS_SESSION" // the session's id
	MarkAgent   = "SESS_AGENT"   // instance id / boot id
)

// maxEnvironmentFile bounds what is read of /etc/environment and login.defs, in bytes.
const maxEnvironmentFile = 256 << 10

// CheckEnv looks at the variables a client sets: allow is a list of patterns (path.Match) of names. What an agent's
// owner did not allow is an error, but for the locale, which clients send by themselves: that is left out. Variables of
// the dynamic linker and our own marks are never allowed.
func CheckEnv(env map[string]string, allow []string) (map[string]string, error) {
	ok := make(map[string]string, len(env))
	for name, value := range env {
		never := strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "DYLD_") || name == MarkSession || name == MarkAgent
		if !never && matches(allow, name) {
			ok[name] = value
			continue
		}
		if name == "LANG" || name == "TZ" || name == "COLORTERM" || strings.HasPrefix(name, "LC_") {
			continue
		}
		return nil, sess.New(sess.CodeRejected, fmt.Sprintf("the agent does not let a client set %s", name),
			"leave it out, or have the machine's owner add it to env_allow")
	}
	return ok, nil
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, name)
		return ok
	})
}

// environment gives the login environment of a user, the client's variables over it, as NAME=VALUE in order of name.
func environment(acc Account, s Spec, mark string) []string {
	env := map[string]string{
		"HOME": acc.Home, "USER": acc.Name, "LOGNAME": acc.Name, "SHELL": acc.Shell,
		"PATH": loginPath(acc.UID == 0),
	}
	if dir := fmt.Sprintf("/run/user/%d", acc.UID); isDir(dir) {
		env["XDG_RUNTIME_DIR"] = dir
	}
	if b, err := readSome("/etc/environment"); err == nil {
		parseEnvironment(strings.NewReader(b), env)
	}
	for k, v := range s.Env {
		env[k] = v
	}
	if s.TTY {
		env["TERM"] = orElse(s.Term, "xterm-256color")
	}
	env[MarkSession], env[MarkAgent] = string(s.Session), mark
	out := make([]string, 0, len(env))
	for k, v := range env {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}

// parseEnvironment reads the format of pam_env's /etc/environment: NAME=VALUE lines, quotes and "export" allowed.
func parseEnvironment(r io.Reader, into map[string]string) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		line := strings.TrimSpace(s.Text())
		line = strings.TrimSpace(strings.TrimPrefix(line, "export "))
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" || strings.ContainsAny(name, "# \t\x00") || strings.HasPrefix(name, "LD_") {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		into[name] = value
	}
}

// loginPath gives PATH as login(1) would.
func loginPath(root bool) string {
	key, def := "ENV_PATH", defaultPath
	if root {
		key, def = "ENV_SUPATH", defaultRootPath
	}
	b, err := readSome("/etc/login.defs")
	if err != nil {
		return def
	}
	for line := range strings.Lines(b) {
		f := strings.Fields(line)
		if len(f) >= 2 && f[0] == key {
			return strings.TrimPrefix(f[1], "PATH=")
		}
	}
	return def
}

func readSome(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxEnvironmentFile))
	return string(b), err
}

func isDir(name string) bool {
	fi, err := os.Stat(name)
	return err == nil && fi.IsDir()
}

// lookPath finds a command as a shell with that environment would.
func lookPath(name, searchPath, cwd string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil // the kernel judges, relative to cwd
	}
	found := ""
	for _, dir := range strings.Split(searchPath, ":") {
		if !path.IsAbs(dir) {
			dir = path.Join(cwd, dir)
		}
		full := path.Join(dir, name)
		fi, err := os.Stat(full)
		if err != nil || fi.IsDir() {
			continue
		}
		if fi.Mode()&0o111 != 0 {
			return full, nil
		}
		found = full
	}
	if found != "" {
		return "", &StartError{Status: statusNotExecutable, Message: found + ": permission denied"}
	}
	return "", &StartError{Status: statusNotFound, Message: name + ": command not found"}
}

func getEnv(env []string, name string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}
