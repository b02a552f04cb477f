package server_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/server"
)

// run runs sess-server in this process and gives its exit code and output.
func run(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = server.Main(t.Context(), server.Process{
		Args: args, Stdout: &out, Stderr: &errs, Version: "1.2.3",
		Env: func(k string) (string, bool) { v, ok := env[k]; return v, ok },
	})
	return code, out.String(), errs.String()
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "conf")
	if err := os.WriteFile(file, []byte("# settings\n\ndata-dir = /proc/from-file\nlisten=127.0.0.1:0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("data-dir = x\nlisten: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name           string
		args           []string
		env            map[string]string
		code           int
		stdout, stderr string
	}{
		{name: "version", args: []string{"version"}, stdout: "sess-server 1.2.3 ("},
		{name: "help", args: []string{"serve", "--help"}, stdout: "--data-dir"},
		{name: "no command", stdout: "Usage:"},
		{name: "unknown command", args: []string{"bogus"}, code: 2, stderr: "--help"},
		{name: "unknown flag", args: []string{"serve", "--bogus"}, code: 2, stderr: "run sess-server serve --help"},
		{name: "too many arguments", args: []string{"serve", "x"}, code: 2, stderr: "hint:"},
		{name: "no directory", args: []string{"serve"}, code: 1, stderr: "--data-dir"},
		{name: "directory from the environment", args: []string{"serve"}, env: map[string]string{"SESS_SERVER_DATA_DIR": "/proc/from-env"}, code: 1, stderr: "/proc/from-env"},
		{name: "directory from the file", args: []string{"serve", "--config", file}, code: 1, stderr: "/proc/from-file"},
		{name: "file by variable", args: []string{"serve"}, env: map[string]string{"SESS_SERVER_CONFIG": file}, code: 1, stderr: "/proc/from-file"},
		{
			name: "environment over file", args: []string{"serve", "--config", file}, env: map[string]string{"SESS_SERVER_DATA_DIR": "/proc/from-env"},
			code: 1, stderr: "/proc/from-env",
		},
		{
			name: "flag over environment", args: []string{"serve", "--data-dir", "/proc/from-flag"}, env: map[string]string{"SESS_SERVER_DATA_DIR": "/proc/from-env"},
			code: 1, stderr: "/proc/from-flag",
		},
		{name: "broken file", args: []string{"serve", "--config", bad}, code: 2, stderr: "bad:2"},
		{name: "missing file", args: []string{"serve", "--config", "/nowhere"}, code: 2, stderr: "/nowhere"},
		{name: "bad log format", args: []string{"serve", "--log-format", "xml"}, code: 2, stderr: "text or json"},
		{name: "bad log level", args: []string{"serve", "--log-level", "loud"}, code: 2, stderr: "debug"},
		{name: "bad proxy", args: []string{"serve", "--trusted-proxies", "x"}, code: 2, stderr: "trusted proxies"},
		{name: "admin without a server", args: []string{"admin", "link", "--data-dir", dir}, code: 1, stderr: "no server runs"},
		{name: "admin without a directory", args: []string{"admin", "verify-audit"}, code: 2, stderr: "--data-dir"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, stdout, stderr := run(t, tc.env, tc.args...)
			if code != tc.code || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) {
				t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
			}
			if tc.code != 0 && stdout != "" {
				t.Errorf("a failure on standard output: %q", stdout)
			}
		})
	}
}

// TestServeAndAdmin runs the program as its owner would: serve in one place, admin in another.
func TestServeAndAdmin(t *testing.T) {
	dir := shortDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		defer w.Close()
		code <- server.Main(ctx, server.Process{
			Args: []string{"serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--log-format", "json"}, Stdout: io.Discard, Stderr: w, Version: "1",
			Env: func(string) (string, bool) { return "", false },
		})
	}()
	lines := bufio.NewScanner(r)
	link := ""
	for link == "" && lines.Scan() {
		if _, after, ok := strings.Cut(lines.Text(), "sessctl accept '"); ok {
			link = strings.TrimSuffix(after, "'")
		}
	}
	if link == "" {
		t.Fatal("no link on standard error")
	}
	go func() {
		for lines.Scan() { // so that the server never waits for us
		}
	}()
	if _, err := os.Stat(filepath.Join(dir, "url")); err != nil {
		t.Error(err)
	}
	c, stdout, stderr := run(t, nil, "admin", "link", "--data-dir", dir)
	if c != 0 || !strings.HasPrefix(stdout, "sessctl accept 'https://127.0.0.1:") || strings.Contains(stdout, link) {
		t.Errorf("admin link: exit %d, %q, %q", c, stdout, stderr)
	}
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(10 * time.Millisecond) { // until the first events have their places
		c, stdout, stderr = run(t, nil, "admin", "verify-audit", "--data-dir", dir)
		if c != 0 || stdout != "" || time.Now().After(deadline) {
			break
		}
		if !strings.Contains(stderr, "no event") {
			t.Errorf("admin verify-audit of a new log says %q", stderr)
		}
	}
	if c != 0 || !strings.Contains(stdout, "\tok\t") {
		t.Errorf("admin verify-audit: exit %d, %q, %q", c, stdout, stderr)
	}
	cancel()
	select {
	case c := <-code:
		if c != 0 {
			t.Errorf("serve ended with %d", c)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("serve does not end")
	}
	if _, err := os.Stat(filepath.Join(dir, "url")); !os.IsNotExist(err) {
		t.Errorf("the URL file is still there: %v", err)
	}
}

// shortDir makes a temporary directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sess")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
