package identity_test

import (
	"bytes"
	"encoding/hex"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
)

// The install line does with the real curl and a real shell what it promises: it takes the script from the server with
// the pinned key, and from no other.
func TestInstallLine(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("needs curl")
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/install.sh" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("echo installed \"$@\"\n"))
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that curl breaks off
	srv.StartTLS()
	defer srv.Close()
	base, _ := url.Parse(srv.URL)
	token, err := sess.NewToken(sess.TokenEnrol, pin)
	if err != nil {
		t.Fatal(err)
	}
	good := link.Pin(srv.Certificate())
	bin := t.TempDir() // a sudo that just runs the command
	if err := os.WriteFile(filepath.Join(bin, "sudo"), []byte("#!/bin/sh\nexec \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	run := func(line string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "http_proxy=", "https_proxy=", "HTTPS_PROXY=", "NO_PROXY=*")
		out, _ := cmd.CombinedOutput() // it fails where it should
		return string(out)
	}
	line := identity.InstallLine(base, good, token)
	want := "installed --server " + srv.URL + "#pin=sha256:" + hex.EncodeToString(good) + " --token " + token + "\n"
	if got := run(line); got != want {
		t.Errorf("%s\nprints %q\nwant   %q", line, got, want)
	}
	server, err := link.ParseServer(strings.Fields(want)[2])
	if err != nil || !bytes.Equal(server.Pin, good) {
		t.Errorf("the script can't read its server: %v %v", server, err)
	}
	for what, line := range map[string]string{
		"another key":     identity.InstallLine(base, bytes.Repeat([]byte{1}, 32), token),
		"no pin":          identity.InstallLine(base, nil, token),
		"a pin without k": strings.Replace(line, " -k ", " ", 1),
	} {
		if got := run(line); strings.Contains(got, "installed") || !strings.Contains(got, "curl:") {
			t.Errorf("with %s the line prints %q, want a refusal by curl", what, got)
		}
	}
}

// Nothing that is put into a line can leave its word.
func TestLinesAreQuoted(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "plain-1.2", "a b", "$(id)", "`id`", "a'b", "a;b", "a\nb", "*", "~", "#x", "a&b", "é"} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+identity.Quote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("the shell reads %q as %q, %v", s, out, err)
		}
	}
	base, _ := url.Parse("https://[2001:db8::1]:8443")
	token, err := sess.NewToken(sess.TokenEnrol, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := identity.EnrolLine(base, token), "sess-agent enroll --server 'https://[2001:db8::1]:8443' --token "+token+" && sess-agent run"; got != want {
		t.Errorf("enrol line = %s\nwant %s", got, want)
	}
}
