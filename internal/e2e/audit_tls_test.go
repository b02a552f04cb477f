package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
)

// rsyslog runs a real rsyslogd with a configuration until the test, or what it returns, ends it in peace.
func (w *world) rsyslog(t *testing.T, name, conf string) (stop func()) {
	t.Helper()
	program, err := exec.LookPath("rsyslogd")
	if err != nil {
		t.Skip("SKIPPED: no rsyslogd here (scripts/deps installs it)")
	}
	file := w.path(name + ".conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(w.path(name+"-out.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.CommandContext(t.Context(), program, "-n", "-f", file, "-i", w.path(name+".pid"))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
		}
	}
	t.Cleanup(stop)
	return stop
}

// tlsDriver is what the rsyslog here speaks TLS by.
func tlsDriver(t *testing.T) string {
	t.Helper()
	for _, d := range []string{"gtls", "ossl"} {
		if found, _ := filepath.Glob("/usr/lib/*/rsyslog/lmnsd_" + d + ".so"); len(found) > 0 {
			return d
		}
	}
	t.Skip("SKIPPED: the rsyslog here speaks no TLS (scripts/deps installs what it needs)")
	return ""
}

// TestAuditOverTLS: a real rsyslog and a real web server take the log over TLS, whose authority is in --ca-file; one of another
// authority, one whose certificate has expired and one with another's name get nothing, and the list of sinks says which it is.
func TestAuditOverTLS(t *testing.T) {
	t.Parallel()
	driver := tlsDriver(t)
	w, err := newWorld("", func(w *world) { w.flags = []string{"--webhook-allow-private"} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.finish(t) })
	w.mustAccept(t)
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	ca, later := w.path("ca.pem"), time.Now().Add(24*time.Hour)
	cert, key := ours.issue("127.0.0.1", later)
	if err := errors.Join(os.WriteFile(ca, ours.pem, 0o600), os.WriteFile(w.path("rsyslog.pem"), cert, 0o600), os.WriteFile(w.path("rsyslog.key"), key, 0o600)); err != nil {
		t.Fatal(err)
	}
	port := freePort(t, "127.0.0.1")
	w.rsyslog(t, "rsyslog", fmt.Sprintf(`
global(maxMessageSize="64k" defaultNetstreamDriverCAFile=%q defaultNetstreamDriverCertFile=%q defaultNetstreamDriverKeyFile=%q)
module(load="imtcp" streamDriver.name=%q streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imtcp" port="%s" address="127.0.0.1")
template(name="raw" type="string" string="%%rawmsg%%\n")
*.* action(type="omfile" file=%q template="raw")
`, ca, w.path("rsyslog.pem"), w.path("rsyslog.key"), driver, port, w.path("rsyslog.out")))

	hooks := func(c *tls.Config, h http.HandlerFunc) string {
		s := httptest.NewUnstartedServer(h)
		s.TLS = c
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL
	}
	var posts atomic.Int64
	counts := func(http.ResponseWriter, *http.Request) { posts.Add(1) }
	never := func(http.ResponseWriter, *http.Request) { t.Error("who is not trusted was sent something") }
	want := map[string]string{}
	add := func(name, to, state string) {
		t.Helper()
		want[name] = state
		if err := w.do("audit", "sink", "add", name, "--to", to, "--ca-file", ca, "--from-start"); err != nil {
			t.Fatal(err)
		}
	}
	add("logs", "tls://127.0.0.1:"+port, "ok")
	add("hook", hooks(ours.serving("127.0.0.1", later), counts), "ok")
	for name, c := range map[string]struct {
		conf  *tls.Config
		state string
	}{
		"foreign": {theirs.serving("127.0.0.1", later), "its certificate is of an authority that is not trusted"},
		"expired": {ours.serving("127.0.0.1", time.Now().Add(-time.Hour)), "its certificate has expired"},
		"named":   {ours.serving("logs.example.com", later), "its certificate is for another name"},
	} {
		add("hook-"+name, hooks(c.conf, never), "failing: "+c.state)
		add("logs-"+name, "tls://"+tlsSink(t, c.conf), "failing: "+c.state)
	}
	add("hook-plain", "https://"+plainServer(t), "failing: it does not speak TLS")
	if err := poll("every sink says how it is", func() error {
		sinks, err := get[[]api.Sink](w, "audit", "sink", "list")
		if err != nil {
			return err
		}
		for _, s := range sinks {
			if !strings.HasPrefix(s.State(time.Now()), want[s.Name]) || want[s.Name] == "ok" && s.DeliveredAt == nil || want[s.Name] != "ok" && s.DeliveredAt != nil {
				err = errors.Join(err, fmt.Errorf("%s is %s", s.Name, s.State(time.Now())))
			}
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if a := w.ask(nil, "audit", "sink", "test", "logs-expired"); a.code != 1 || !strings.Contains(string(a.err), "expired") {
		t.Errorf("test of a sink: %d %s", a.code, a.err)
	}
	if err := poll("rsyslog has written the events", func() error {
		b, _ := os.ReadFile(w.path("rsyslog.out"))
		for _, part := range []string{`"action":"accept"`, `"name":"logs-expired"`} {
			if !strings.Contains(string(b), part) {
				return fmt.Errorf("no %s in %.2000s", part, b)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if posts.Load() == 0 {
		t.Error("the webhook got nothing")
	}
}

// tlsSink accepts connections with a certificate, and fails the test when somebody sends something.
func tlsSink(t *testing.T, c *tls.Config) (address string) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if n, _ := conn.Read(make([]byte, 1)); n > 0 {
					t.Error("who is not trusted was sent a part of the log")
				}
			}()
		}
	}()
	return l.Addr().String()
}

// plainServer answers every connection with something that is no TLS.
func plainServer(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("220 mail.example.com ESMTP\r\n"))
			_, _ = conn.Read(make([]byte, 1<<10))
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}
