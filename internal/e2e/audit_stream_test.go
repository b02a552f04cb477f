package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/outbound"
)

// took is what a receiver of the audit log was sent: events by their places, and in which order they came first.
type took struct {
	t  *testing.T
	mu sync.Mutex
	at map[int64]string
	up int64 // the next place, as far as there is no gap
}

func (k *took) event(idx int64, body string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if old, ok := k.at[idx]; ok && old != body {
		k.t.Errorf("place %d has two events: %s and %s", idx, old, body)
	}
	if idx > k.up {
		k.t.Errorf("place %d comes before %d", idx, k.up)
	}
	k.at[idx] = body
	k.up = max(k.up, idx+1)
}

func (k *took) next() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.up
}

// webhook receives posts, and checks who signed them.
func (k *took) webhook(secret func() string) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := outbound.VerifyWebhook(secret(), r.Header, body, time.Now(), time.Minute); err != nil {
			k.t.Error(err)
		}
		var p struct {
			Events []struct {
				Index int64
				Event json.RawMessage
			}
		}
		if err := json.Unmarshal(body, &p); err != nil {
			k.t.Error(err)
		}
		for _, e := range p.Events {
			k.event(e.Index, string(e.Event))
		}
	}
}

// syslog receives octet-counted messages of one connection after another.
func (k *took) syslog(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			in := bufio.NewReader(c)
			for {
				size, err := in.ReadString(' ')
				if err != nil {
					return
				}
				n, _ := strconv.Atoi(strings.TrimSpace(size))
				b := make([]byte, n)
				if _, err := io.ReadFull(in, b); err != nil {
					return
				}
				k.message(string(b))
			}
		}()
	}
}

// message takes one syslog message.
func (k *took) message(s string) {
	_, rest, ok := strings.Cut(s, ` index="`)
	number, _, ok2 := strings.Cut(rest, `"`)
	_, body, ok3 := strings.Cut(s, "] \ufeff")
	idx, err := strconv.ParseInt(number, 10, 64)
	if !ok || !ok2 || !ok3 || err != nil {
		k.t.Errorf("no event: %s", s)
		return
	}
	k.event(idx, body)
}

// The server is killed again and again while it streams its log to a webhook and by syslog: both get every event, in order.
func TestAuditStreamsSurviveKills(t *testing.T) {
	t.Parallel()
	w, err := newWorld("", func(w *world) {
		w.flags = []string{"--webhook-allow-private", "--audit-witness", filepath.Join(w.dir, "published.witness")}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.finish(t) })
	w.mustAccept(t)
	posts, lines := &took{t: t, at: map[int64]string{}}, &took{t: t, at: map[int64]string{}}
	var mu sync.Mutex
	var secret string
	hook := httptest.NewServer(posts.webhook(func() string { mu.Lock(); defer mu.Unlock(); return secret }))
	defer hook.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go lines.syslog(l)
	mu.Lock()
	added := w.ask(nil, "audit", "sink", "add", "hook", "--to", hook.URL, "--from-start")
	secret = strings.TrimSpace(string(added.out))
	mu.Unlock()
	if added.code != 0 || !strings.HasPrefix(secret, "whsec_") {
		t.Fatalf("sink add: %d %s", added.code, added.err)
	}
	if err := w.do("audit", "sink", "add", "logs", "--to", "tcp://"+l.Addr().String(), "--from-start"); err != nil {
		t.Fatal(err)
	}
	for round := range 5 {
		for range 6 {
			if err := w.do("whoami"); err != nil {
				t.Fatal(err)
			}
		}
		if round == 4 {
			break
		}
		if err := errors.Join(w.stopServer(syscall.SIGKILL), w.startServer()); err != nil {
			t.Fatal(err)
		}
	}
	list, err := get[[]struct{ Index int64 }](w, "audit", "list", "--limit", "1", "--action", "whoami")
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	size := list[0].Index
	for what, k := range map[string]*took{"webhook": posts, "syslog": lines} {
		if err := poll(what+" has all events", func() error {
			if k.next() <= size {
				return fmt.Errorf("%d of %d", k.next(), size+1)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	sinks, err := get[[]api.Sink](w, "audit", "sink", "list")
	if err != nil || len(sinks) != 2 || sinks[0].Problem != "" {
		t.Errorf("%+v, %v", sinks, err)
	}
	w.publishedWell(t)
}

// publishedWell looks at the checkpoints that the server published: the log goes on from each.
func (w *world) publishedWell(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile(w.path("published.witness"))
	if err != nil || !strings.Contains(string(b), `"log":"org_`) {
		t.Fatalf("%v: %s", err, b)
	}
	var last string
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if strings.Contains(line, `"log":"org_`) {
			last = line
		}
	}
	var kept struct{ Key string }
	if err := json.Unmarshal([]byte(last), &kept); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path("kept.witness"), []byte(last+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.do("audit", "verify", "--from", w.path("kept.witness"), "--key", kept.Key); err != nil {
		t.Error(err)
	}
}

// A real rsyslog takes what we send and writes every event to its file.
func TestAuditReachesRsyslog(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("rsyslogd")
	if err != nil {
		t.Skip("SKIPPED: no rsyslogd here (scripts/deps installs it)")
	}
	w, err := newWorld("", func(w *world) { w.flags = []string{"--webhook-allow-private"} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.finish(t) })
	w.mustAccept(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	conf := fmt.Sprintf("global(workDirectory=%q)\nmodule(load=\"imtcp\")\ninput(type=\"imtcp\" port=\"%d\" address=\"127.0.0.1\")\n"+
		"template(name=\"all\" type=\"string\" string=\"%%app-name%% %%msgid%% %%structured-data%% %%msg%%\\n\")\n*.* action(type=\"omfile\" file=%q template=\"all\")\n",
		w.dir, port, w.path("rsyslog.out"))
	if err := os.WriteFile(w.path("rsyslog.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-n", "-f", w.path("rsyslog.conf"), "-i", w.path("rsyslog.pid"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if err := w.do("audit", "sink", "add", "logs", "--to", fmt.Sprintf("tcp://127.0.0.1:%d", port), "--from-start"); err != nil {
		t.Fatal(err)
	}
	if err := poll("the test message is there", func() error { return w.do("audit", "sink", "test", "logs") }); err != nil {
		t.Fatal(err)
	}
	if err := poll("the events are in rsyslog's file", func() error {
		b, _ := os.ReadFile(w.path("rsyslog.out"))
		for _, want := range []string{"sess-server test [sess@32473", "sess-server accept [sess@32473", `"action":"sink:create"`} {
			if !strings.Contains(string(b), want) {
				return fmt.Errorf("no %s in %.2000s", want, b)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
