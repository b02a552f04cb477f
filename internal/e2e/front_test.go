package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// nginxConf is the proxy of docs/guides/behind-a-proxy.md, with everything in a directory of the test's, and a source address
// by which the server tells it from its clients, who are on this machine, too.
const nginxConf = `
daemon off;
worker_processes 1;
pid {{.Dir}}/nginx.pid;
error_log {{.Dir}}/nginx.log;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path {{.Dir}}/nginx-body;
  proxy_temp_path {{.Dir}}/nginx-proxy;
  fastcgi_temp_path {{.Dir}}/nginx-fastcgi;
  uwsgi_temp_path {{.Dir}}/nginx-uwsgi;
  scgi_temp_path {{.Dir}}/nginx-scgi;
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  upstream sess { server {{.Upstream}}; keepalive 8; }
  server {
    listen {{.Listen}} ssl;
    ssl_certificate {{.Dir}}/front.pem;
    ssl_certificate_key {{.Dir}}/front.key;
    ssl_protocols TLSv1.3;
    location / {
      proxy_pass http://sess;
      proxy_bind {{.Source}};
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
      client_max_body_size 16m;
    }
  }
}
`

// freePort gives a port of an address that nobody listens on at this moment.
func freePort(t *testing.T, host string) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// frontCertificate makes a certificate for localhost in files of w, and gives the pool that trusts it.
func (w *world) frontCertificate(t *testing.T) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the proxy's"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	err = errors.Join(os.WriteFile(w.path("front.pem"), public, 0o600),
		os.WriteFile(w.path("front.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(public)
	return pool
}

// behindNginx is a world whose server is reached through a real nginx, which ends TLS and comes from 127.0.0.9.
func behindNginx(t *testing.T) (w *world, roots *x509.CertPool) {
	t.Helper()
	port := freePort(t, "127.0.0.1")
	w, err := newWorld("https://localhost:"+port, func(w *world) {
		w.flags = []string{"--tls", "off", "--trusted-proxies", "127.0.0.9,2001:db8::/32"}
		w.routes["admin"] = []string{"SSL_CERT_FILE=" + w.path("front.pem")}
		w.routes["web-1"] = w.routes["admin"]
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	roots = w.frontCertificate(t)
	var conf bytes.Buffer
	values := map[string]string{"Dir": w.dir, "Listen": "127.0.0.1:" + port, "Upstream": w.address(), "Source": "127.0.0.9"}
	if err := template.Must(template.New("").Parse(nginxConf)).Execute(&conf, values); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // its workers write to the directories, which are ours
		conf.WriteString("user root;\n")
	}
	if err := os.WriteFile(w.path("nginx.conf"), conf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	startDaemon(t, w, "nginx", "127.0.0.1:"+port, "-e", w.path("nginx.log"), "-p", w.dir, "-c", w.path("nginx.conf"))
	t.Cleanup(func() { w.finish(t) }) // before nginx ends
	return w, roots
}

// startDaemon runs a program of the system until the test ends, and waits until it listens.
func startDaemon(t *testing.T, w *world, name, addr string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed: run scripts/deps", name)
	}
	out, err := os.OpenFile(w.path(name+"-out.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() { _ = cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		if err := p.kill(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	})
	if err := poll(name+" listens", func() error {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	}); err != nil {
		w.dumpLogs(t)
		t.Fatal(err)
	}
}

// from is an HTTP client on another address of this machine.
func from(addr string, roots *x509.CertPool) *http.Client {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}, Timeout: patience}
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext: d.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true,
	}}
}

// whoami asks the server who somebody with a key is, and from where.
func whoami(t *testing.T, c *http.Client, base, key string, header map[string]string) (api.WhoamiOut, int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v1/whoami", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out api.WhoamiOut
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out, resp.StatusCode
}

// Behind a real nginx that ends TLS, everything works, and the server knows its clients by their own addresses: in what it
// shows and records, for API keys limited to addresses, and for the limits on logins. Nobody else is believed.
func TestBehindNginx(t *testing.T) {
	t.Parallel()
	w, roots := behindNginx(t)
	w.mustAccept(t)
	if err := w.addAgent("web-1"); err != nil {
		t.Fatal(err)
	}
	if a := w.ask(strings.NewReader("in"), "exec", "web-1", "--", "sh", "-c", "cat; echo err >&2; exit 7"); a.code != 7 || string(a.out) != "in" || !strings.Contains(string(a.err), "err") {
		t.Errorf("exec: exit %d, %q, %q", a.code, a.out, a.err)
	}
	if err := poll("the session is over", func() error {
		sessions, err := get[[]api.Session](w, "session", "list", "--ended")
		if err == nil && (len(sessions) != 1 || sessions[0].ClientAddr != "127.0.0.1" || sessions[0].InstanceAddr != "127.0.0.1") {
			err = fmt.Errorf("%+v", sessions)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	w.wantAddresses(t)

	front, direct := w.public, "http://"+w.address()
	spoofed := map[string]string{"X-Forwarded-For": "198.51.100.9", "Forwarded": "for=198.51.100.9", "X-Real-IP": "198.51.100.9"}
	for _, tc := range []struct {
		what, base, local string
		header            map[string]string
		want              string
	}{
		{"through the proxy", front, "127.0.0.1", nil, "127.0.0.1"},
		{"through the proxy, from elsewhere", front, "127.0.0.5", nil, "127.0.0.5"},
		{"through the proxy, pretending", front, "127.0.0.5", spoofed, "127.0.0.5"},
		{"beside the proxy, pretending", direct, "127.0.0.5", spoofed, "127.0.0.5"},
		{"as the proxy", direct, "127.0.0.9", spoofed, "198.51.100.9"},
	} {
		if who, status := whoami(t, from(tc.local, roots), tc.base, w.key, tc.header); status != http.StatusOK || who.Address != tc.want {
			t.Errorf("%s: %d, %s; want %s", tc.what, status, who.Address, tc.want)
		}
	}

	key, err := get[api.Key](w, "key", "create", "--machine", "front", "--from", "127.0.0.5,10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	if _, status := whoami(t, from("127.0.0.5", roots), front, key.Secret, nil); status != http.StatusOK {
		t.Errorf("the key from its address: %d", status)
	}
	if _, status := whoami(t, from("127.0.0.6", roots), front, key.Secret, map[string]string{"X-Forwarded-For": "127.0.0.5"}); status != http.StatusForbidden {
		t.Errorf("the key from another address: %d", status)
	}
	w.lockOut(t, front, roots)
}

// lockOut fails to log in from one address until the account is locked, and looks where else it is.
func (w *world) lockOut(t *testing.T, base string, roots *x509.CertPool) {
	t.Helper()
	login := func(addr, password string) sess.Code {
		body := fmt.Sprintf(`{"email":%q,"password":%q}`, adminEmail, password)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/v1/login", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := from(addr, roots).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var p api.Problem
		if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&p); err != nil {
			t.Fatal(err)
		}
		return p.Code
	}
	if code := login("127.0.0.8", adminPassword); code != "" {
		t.Errorf("before: %q", code)
	}
	limited := false
	for range 30 {
		if code := login("127.0.0.7", "wrong horse 7 battery"); code == sess.CodeLimited {
			limited = true
			break
		}
	}
	if !limited {
		t.Error("an address may fail to log in as often as it likes")
	}
	if code := login("127.0.0.7", adminPassword); code != sess.CodeLimited {
		t.Errorf("with the right password from that address: %q", code)
	}
	if code := login("127.0.0.8", adminPassword); code != "" {
		t.Errorf("from where the account has logged in before: %q", code)
	}
	if code := login("127.0.0.6", adminPassword); code != sess.CodeLimited {
		t.Errorf("from where it never has: %q", code)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll("the refusals are on record", func() error {
		a := result(w.ctl(ctx, "audit", "list", "--action", "login", "--limit", "0"), nil)
		if !strings.Contains(string(a.out), "127.0.0.7") || strings.Contains(string(a.out), "127.0.0.9") {
			return fmt.Errorf("%s", a.out)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// wantAddresses looks at what is on record of the last session: both sides came through the proxy, and neither is taken for it;
// and the instance's own addresses, which nobody sees from outside, are there.
func (w *world) wantAddresses(t *testing.T) {
	t.Helper()
	sessions, err := get[[]api.Session](w, "session", "list", "--ended")
	if err != nil || len(sessions) != 1 {
		t.Fatal(sessions, err)
	}
	s, err := get[api.Session](w, "session", "show", string(sessions[0].ID))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Joins) < 2 {
		t.Errorf("joins: %+v", s.Joins)
	}
	for _, j := range s.Joins {
		if j.Address != "127.0.0.1" {
			t.Errorf("the %s joined from %s", j.Side, j.Address)
		}
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if s.Host.Hostname != name || s.Host.Kernel == "" || s.RanAs == "" {
		t.Errorf("host %+v, ran as %q", s.Host, s.RanAs)
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() && !slices.Contains(s.Host.Addrs, ip.IP.String()) {
			t.Errorf("the instance's own addresses %v lack %s", s.Host.Addrs, ip.IP)
		}
	}
}
