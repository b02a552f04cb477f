package e2e

import (
	"fmt"
	"os"
	"os/user"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/api"
)

// tinyproxyConf is a CONNECT proxy for people who know the password. Its log says which connections it made.
const tinyproxyConf = `
Port %s
Listen 127.0.0.1
Timeout 600
MaxClients 50
LogLevel Connect
LogFile "%s"
PidFile "%s"
BasicAuth porter sesame-opens
User %s
Group %s
`

// Client and agent reach the server through a real CONNECT proxy, Debian's tinyproxy, which asks for a user and a password;
// without them, or with others, nothing gets through, and the error says who it was.
func TestThroughTinyproxy(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname() // never taken for this very machine, which goes around proxies
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t, "")
	w, err := newWorld("https://"+host+":"+port, func(w *world) { w.listen = ":" + port })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	at := "127.0.0.1:" + freePort(t, "127.0.0.1")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf(tinyproxyConf, at[strings.Index(at, ":")+1:], w.path("tinyproxy.log"), w.path("tinyproxy.pid"), me.Uid, me.Gid)
	if err := os.WriteFile(w.path("tinyproxy.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	startDaemon(t, w, "tinyproxy", at, "-d", "-c", w.path("tinyproxy.conf"))
	t.Cleanup(func() { w.finish(t) }) // before the proxy ends
	through := func(credentials string) []string {
		u := "http://" + credentials + at
		return []string{"HTTPS_PROXY=" + u, "https_proxy=" + u, "NO_PROXY=", "no_proxy="}
	}
	w.routes["admin"], w.routes["web-1"] = through("porter:sesame-opens@"), through("porter:sesame-opens@")
	w.mustAccept(t)
	if err := w.addAgent("web-1"); err != nil {
		t.Fatal(err)
	}
	if a := w.ask(strings.NewReader("in"), "exec", "web-1", "--", "cat"); a.code != 0 || string(a.out) != "in" {
		t.Errorf("exec: exit %d, %q, %s", a.code, a.out, a.err)
	}
	if i, err := get[api.Instance](w, "instance", "show", "web-1"); err != nil || !i.Online {
		t.Errorf("instance: %+v, %v", i, err)
	}
	log, err := os.ReadFile(w.path("tinyproxy.log"))
	if err != nil {
		t.Fatal(err)
	}
	// The client's calls and stream, the agent's enrolment, control link and stream.
	if n := strings.Count(string(log), "CONNECT "+host+":"+port); n < 5 {
		t.Errorf("%d connections went through the proxy:\n%s", n, log)
	}

	right := w.routes["admin"]
	defer func() { w.routes["admin"] = right }()
	for _, wrong := range []string{"", "porter:wrong-word@", "somebody:sesame-opens@"} {
		w.routes["admin"] = through(wrong)
		a := w.ask(nil, "whoami")
		if a.code == 0 || !strings.Contains(strings.ToLower(string(a.err)), "proxy") || strings.Contains(string(a.err), "wrong-word") {
			t.Errorf("with %q: exit %d, %s", wrong, a.code, a.err)
		}
	}
}
