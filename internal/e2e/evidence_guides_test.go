package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestUsageGuide runs the commands of docs/guides/usage.md, on a machine where the server's directory is another.
func TestUsageGuide(t *testing.T) {
	t.Parallel()
	w := testWorld(t, "web-1")
	dir := t.TempDir()
	script := strings.ReplaceAll(guide(t, "usage", 2), "/var/lib/sess-server", w.path("data"))
	const sum = "sessctl usage --by tag" // which has what has ended, a moment after its client has
	script = strings.Replace(script, sum, "until sessctl usage --by tag:ci.run | grep -q ^8123; do :; done\n"+sum, 1)
	a := w.runGuide(t, dir, script+"sessctl usage --by user\n")
	runs, err := os.ReadFile(dir + "/runs.csv")
	if err != nil || !regexp.MustCompile(`(?m)^8123,,1,\d+,\d+,\d+,0,\d+,0,\d+,0$`).Match(runs) || !strings.HasPrefix(string(runs), "key,name,sessions,wall_us,") {
		t.Errorf("runs.csv: %s, %v", runs, err)
	}
	for _, want := range []string{"web-1", "\n" + adminEmail + "\t1\t"} {
		if !strings.Contains(string(a.out), want) {
			t.Errorf("nothing says %q:\n%s\n%s", want, a.out, a.err)
		}
	}
}

// TestAlertsGuide runs the commands of docs/guides/alerts.md.
func TestAlertsGuide(t *testing.T) {
	t.Parallel()
	var posts atomic.Int64
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { posts.Add(1) }))
	defer hook.Close()
	w, err := newWorld("", func(w *world) { w.flags = []string{"--webhook-allow-private"} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.finish(t) })
	w.mustAccept(t)
	a := w.runGuide(t, t.TempDir(), strings.ReplaceAll(guide(t, "alerts", 1), "https://hooks.example.com/sess", hook.URL))
	if posts.Load() != 1 || !strings.Contains(string(a.out), hook.URL) || !strings.Contains(string(a.err), "whsec_") {
		t.Errorf("%d posts\n%s\n%s", posts.Load(), a.out, a.err)
	}
}

// TestAuditStreamingGuide runs the commands of docs/guides/audit-streaming.md, with a webhook, and a real rsyslog that is set up as
// the guide says, on this machine.
func TestAuditStreamingGuide(t *testing.T) {
	t.Parallel()
	if driver := tlsDriver(t); driver != "gtls" {
		t.Skip("SKIPPED: the rsyslog here has no gtls driver")
	}
	w, err := newWorld("", func(w *world) {
		w.flags, w.mail = []string{"--webhook-allow-private"}, []string{"SSL_CERT_FILE=" + w.path("system.pem")}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.finish(t) })
	w.mustAccept(t)
	dir, ca := t.TempDir(), newAuthority(t, "ours")
	later := time.Now().Add(time.Hour)
	cert, key := ca.issue("127.0.0.1", later)
	err = errors.Join(os.WriteFile(dir+"/ca.pem", ca.pem, 0o600), os.WriteFile(w.path("system.pem"), ca.pem, 0o600),
		os.WriteFile(dir+"/cert.pem", cert, 0o600), os.WriteFile(dir+"/key.pem", key, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../docs/guides/audit-streaming.md")
	if err != nil {
		t.Fatal(err)
	}
	conf := regexp.MustCompile("(?s)```\n(global.*?)```").FindSubmatch(text)
	if conf == nil {
		t.Fatal("the guide has no configuration of rsyslog")
	}
	port, socket := freePort(t, "127.0.0.1"), w.path("log.sock")
	tcp := strings.NewReplacer("/etc/rsyslog.d", dir, `port="6514"`, fmt.Sprintf(`port=%q address="127.0.0.1"`, port)).Replace(string(conf[1]))
	own := regexp.MustCompile(`input\(type="imuxsock"[^)]*\)`).Find(text)
	w.rsyslog(t, "rsyslog", tcp+"\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\n"+strings.ReplaceAll(string(own), "/run/sess/log.sock", socket)+
		"\ntemplate(name=\"all\" type=\"string\" string=\"%programname% %msgid% %structured-data%%msg:::sp-if-no-1st-sp%%msg%\\n\")\n"+
		fmt.Sprintf("*.* action(type=\"omfile\" file=%q template=\"all\")\n", w.path("rsyslog.out")))
	hook := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	hook.TLS = ca.serving("127.0.0.1", later)
	hook.TLS.MinVersion = tls.VersionTLS13
	hook.StartTLS()
	defer hook.Close()
	if err := poll("rsyslog listens", func() error { _, err := os.Stat(socket); return err }); err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer("https://siem.example.com", hook.URL, "logs.example.com:6514", "127.0.0.1:"+port, "unix:///dev/log", "unix://"+socket,
		"/var/lib/sess-server", w.path("data")).Replace(guide(t, "audit-streaming", 3))
	a := w.runGuide(t, dir, script)
	if secret, err := os.ReadFile(dir + "/siem.secret"); err != nil || !strings.HasPrefix(string(secret), "whsec_") || strings.Count(string(a.out), "taken\n") != 2 {
		t.Errorf("%s %v\n%s\n%s", secret, err, a.out, a.err)
	}
	if err := poll("the events are in rsyslog's file, as the guide says", func() error {
		b, _ := os.ReadFile(w.path("rsyslog.out"))
		for _, want := range []string{"sess-server - - [sess@32473 log=\"box\"] {\"test\":true}", "sess-server accept [sess@32473 log=\"org_", `"action":"sink:create"`} {
			if !strings.Contains(string(b), want) {
				return fmt.Errorf("no %s in %.3000s", want, b)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
