package e2e

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
)

// told is a receiver of alerts that knows only what docs/guides/alerts.md says.
type told struct {
	t      *testing.T
	secret func() string

	mu   sync.Mutex // protects the following
	got  map[string]map[string]any
	bad  []string
	late bool // what it gets is not taken
}

// ServeHTTP implements http.Handler.
func (r *told) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	id, at := req.Header.Get("Webhook-Id"), req.Header.Get("Webhook-Timestamp")
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.secret(), "whsec_"))
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(id + "." + at + "." + string(body)))
	unix, terr := strconv.ParseInt(at, 10, 64)
	old := time.Since(time.Unix(unix, 0)).Abs() > 5*time.Minute
	var m map[string]any
	switch {
	case r.late:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case err != nil, terr != nil, old, req.Header.Get("Webhook-Signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)):
		r.bad = append(r.bad, fmt.Sprintf("not signed: %v %s", req.Header, body))
		w.WriteHeader(http.StatusUnauthorized)
		return
	case json.Unmarshal(body, &m) != nil, m["id"] != id, m["type"] != "sess.alert":
		r.bad = append(r.bad, "not as the guide says: "+string(body))
	case r.got[id] == nil:
		r.got[id] = m
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *told) take(yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = !yes
}

// want waits for an alert of a kind, about an event, that says so.
func (r *told) want(kind, action, says string) {
	r.t.Helper()
	if err := poll("the alert "+kind, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		var all []string
		for _, m := range r.got {
			event, _ := m["event"].(map[string]any)
			summary, _ := m["summary"].(string)
			if m["kind"] == kind && event["action"] == action && strings.Contains(summary, says) && m["org_name"] == "default" && m["org"] == event["org"] {
				return nil
			}
			all = append(all, fmt.Sprintf("%v %v: %v", m["kind"], event["action"], summary))
		}
		return errors.New("there is " + strings.Join(all, "; "))
	}); err != nil {
		r.t.Error(err)
	}
}

// TestAlertKinds has each kind of alert happen, with real programs, and told to a receiver over TLS that was written from the guide.
func TestAlertKinds(t *testing.T) {
	t.Parallel()
	w, err := newWorld("https://sess.test", func(w *world) { w.flags = []string{"--webhook-allow-private"} }) // known to the proxies only
	if err != nil {
		t.Fatal(err)
	}
	near, far, stranger := newProxy(t, w.address), newProxyFrom(t, "127.0.0.77", w.address), newProxyFrom(t, "127.0.0.78", w.address)
	t.Cleanup(func() { w.finish(t) }) // before the proxies close
	for _, who := range []string{"admin", "web-1", "web-2"} {
		w.routes[who] = near.env()
	}
	w.mustAccept(t)
	for _, name := range []string{"web-1", "web-2"} {
		if err := w.addAgent(name); err != nil {
			t.Fatal(err)
		}
	}
	must := func(args ...string) {
		t.Helper()
		if err := w.do(args...); err != nil {
			t.Fatal(err)
		}
	}
	must("exec", "web-1", "--", "true") // it only teaches: nobody is told yet
	r := w.tell(t)

	must("lock", "add", "--address", "203.0.113.77", "--reason", "scans us")
	r.want("lock", "lock:add", "203.0.113.77")

	r.take(false)
	w.lockOutAdmin(t, stranger.env()) // and the server is killed at once
	if err := errors.Join(w.stopServer(syscall.SIGKILL), w.startServer()); err != nil {
		t.Fatal(err)
	}
	r.take(true)
	r.want("lockout", "login:locked", "the account of "+adminEmail+" is locked")

	must("user", "create", "--machine", "curious", "--role", "read-only")
	key := strings.TrimSpace(string(w.ask(nil, "key", "create", "k", "--user", "curious").out))
	for range 21 {
		cmd := w.ctl(t.Context(), "token", "create")
		cmd.Env = append(cmd.Env, "SESSCTL_SERVER="+w.url(), "SESSCTL_API_KEY="+key)
		if a := result(cmd, nil); a.code == 0 {
			t.Fatal("somebody who may only look makes tokens")
		}
	}
	r.want("refusals", "token:create", "curious was refused 21 times")

	cmd := w.ctl(t.Context(), "exec", "web-1", "--", "true")
	cmd.Env = append(cmd.Env, append(far.env(), "SESSCTL_SERVER="+w.url(), "SESSCTL_API_KEY="+w.key)...)
	if a := result(cmd, nil); a.code != 0 {
		t.Fatalf("exec: %d %s", a.code, a.err)
	}
	r.want("new-address", "session:start", "from 127.0.0.77 for the first time")

	w.loseRecording(t)
	r.want("recording", "recording:closed", "incomplete")

	must("instance", "remove", "web-2", "--yes")
	if err := errors.Join(w.stopAgent("web-2", syscall.SIGTERM), os.RemoveAll(w.path("web-2")), w.addAgent("web-2")); err != nil {
		t.Fatal(err)
	}
	r.want("agent-key", "enrol", "web-2 enrolled with a new key")

	w.dayWorker(t)
	must("exec", "web-1", "--", "true")
	r.want("odd-hours", "session:start", "an hour at which they don't")

	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.bad) > 0 {
		t.Errorf("%q", r.bad)
	}
	alerts, err := get[[]api.AuditEvent](w, "audit", "list", "--action", "alert:raised", "--limit", "0")
	if err != nil || len(alerts) != len(r.got) {
		t.Errorf("%d alerts are in the log and %d were told: %v", len(alerts), len(r.got), err)
	}
}

// tell has a receiver over TLS told of everything.
func (w *world) tell(t *testing.T) *told {
	t.Helper()
	ca := newAuthority(t, "ours")
	if err := os.WriteFile(w.path("hook.pem"), ca.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	secret := ""
	r := &told{t: t, got: map[string]map[string]any{}, secret: func() string { mu.Lock(); defer mu.Unlock(); return secret }}
	s := httptest.NewUnstartedServer(r)
	s.TLS = ca.serving("127.0.0.1", time.Now().Add(time.Hour))
	s.StartTLS()
	t.Cleanup(s.Close)
	mu.Lock()
	defer mu.Unlock()
	added, err := get[api.AlertHookAdded](w, "alert", "add", s.URL+"/in", "--on", "all", "--ca-file", w.path("hook.pem"))
	if err != nil || added.Secret == "" || !added.HasCA {
		t.Fatalf("%+v, %v", added, err)
	}
	secret = added.Secret
	return r
}

// lockOutAdmin tries wrong passwords until the admin's account is locked, from where nobody has logged in.
func (w *world) lockOutAdmin(t *testing.T, route []string) {
	t.Helper()
	if err := os.WriteFile(w.path("wrong"), []byte("wrong horse 7 battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for try := 0; ; try++ {
		cmd := w.ctl(t.Context(), "login", "--server", w.url(), "--email", adminEmail, "--password-file", w.path("wrong"))
		cmd.Env = append(cmd.Env, append(route, "SESSCTL_CONFIG_DIR="+w.path("elsewhere"))...)
		a := result(cmd, nil)
		// The attempt that locks the account says no more than those before it.
		if try == 4 {
			return
		}
		if !strings.Contains(string(a.err), "wrong") {
			t.Fatalf("login: %d %s", a.code, a.err)
		}
	}
}

// loseRecording has a part of a recording disappear while its session runs.
func (w *world) loseRecording(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := w.ctl(ctx, "exec", "web-1", "--", "sh", "-c", "echo begun; cat")
	cmd.Env = append(cmd.Env, "SESSCTL_SERVER="+w.url(), "SESSCTL_API_KEY="+w.key)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := poll("the session has begun", func() error {
		if out.String() != "begun\n" {
			return errors.New(out.String())
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	live, err := get[[]api.Session](w, "session", "list")
	if err != nil || len(live) != 1 {
		t.Fatal(live, err)
	}
	if err := w.stopServer(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	found, err := exec.CommandContext(ctx, "find", w.path("data", "recordings"), "-depth", "-name", string(live[0].ID), "-exec", "rm", "-r", "{}", ";").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, found)
	}
	if err := w.startServer(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(in, "more\n")
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the session: %v", err)
	}
}

// dayWorker has the log's memory say of the admin that they have worked for weeks, and never at this hour of the day: nobody can
// wait for that.
func (w *world) dayWorker(t *testing.T) {
	t.Helper()
	who, err := get[api.WhoamiOut](w, "whoami")
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+w.path("data", "sess.db")+"?_pragma=busy_timeout(20000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := time.Now().UTC()
	day := now.Add(-24 * time.Hour).UnixMicro()
	for _, q := range []string{
		"DELETE FROM alert_seen WHERE kind IN ('hour', 'days') AND subject = $1 AND $2 > 0 AND $3 <> ''",
		"INSERT INTO alert_seen (org, kind, subject, value, n, first_at, last_at) SELECT org, 'hour', $1, $3, 30, $2, $2 FROM alert_watch",
		"INSERT INTO alert_seen (org, kind, subject, value, n, first_at, last_at) SELECT org, 'days', $1, '', 6, $2, $2 FROM alert_watch WHERE $3 <> ''",
	} {
		if _, err := db.ExecContext(t.Context(), q, string(who.User), day, fmt.Sprintf("%02d", (now.Hour()+12)%24)); err != nil {
			t.Fatal(q, err)
		}
	}
}
