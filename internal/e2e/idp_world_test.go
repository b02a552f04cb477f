package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/sessctl/sess/internal/api"
)

// claims is what the real provider says about somebody.
type claims struct {
	Email    string   `json:"email"`
	Verified bool     `json:"email_verified"`
	Groups   []string `json:"groups,omitempty"`
}

// idpWorld is a world with a real OpenID Connect provider, set up as "corp".
type idpWorld struct {
	*world

	t      *testing.T
	people string // file that the provider reads at each login
}

func newIDPWorld(t *testing.T) *idpWorld {
	t.Helper()
	if _, err := os.Stat("testdata/oidc/node_modules/oidc-provider"); err != nil {
		t.Fatalf("the npm package oidc-provider is not installed: run scripts/deps: %v", err)
	}
	w, err := newWorld("", func(w *world) { w.flags = append(w.flags, "--idp-allow-private") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.finish(t) })
	w.mustAccept(t)
	iw := &idpWorld{world: w, t: t, people: w.path("people.json")}
	iw.say(map[string]claims{})
	secret := w.path("client-secret")
	if err := os.WriteFile(secret, []byte("the-client-s-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "server.mjs", "sess-client", secret, iw.people)
	cmd.Dir = filepath.Join("testdata", "oidc")
	cmd.Stderr, err = os.Create(w.path("oidc.log"))
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	issuer := lines.Text()
	p, err := get[api.IDP](w, "idp", "add", "corp", "--kind", "oidc", "--issuer", issuer, "--client-id", "sess-client", "--client-secret-file", secret, "--scopes", "groups")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintln(stdin, p.RedirectURL); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the provider says %q", lines.Text())
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	return iw
}

// say sets what the provider says about people from now on.
func (w *idpWorld) say(people map[string]claims) {
	w.t.Helper()
	b, err := json.Marshal(people)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.people, b, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// as is the environment of somebody's own sessctl.
func (w *idpWorld) as(name string, more ...string) []string {
	env := append(w.env(), "SESSCTL_CONFIG_DIR="+w.path("of-"+name), "DISPLAY=", "WAYLAND_DISPLAY=")
	return append(env, more...)
}

// whoami is what the server says to somebody's own sessctl.
func (w *idpWorld) whoami(name string) (api.WhoamiOut, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, "sessctl"), "whoami", "--json")
	cmd.Env = w.as(name)
	a := result(cmd, nil)
	var out api.WhoamiOut
	if a.code != 0 {
		return out, fmt.Errorf("whoami: exit %d: %s", a.code, a.err)
	}
	return out, json.Unmarshal(a.out, &out)
}

// browserOf makes somebody's browser, which is a file that it writes the address into.
func (w *idpWorld) browserOf(name string) (asked, browser string) {
	w.t.Helper()
	asked, browser = w.path("asked-"+name), w.path("browser-"+name)
	_ = os.Remove(asked)
	if err := os.WriteFile(browser, []byte("#!/bin/sh\nprintf %s \"$1\" >"+asked+".new && mv "+asked+".new "+asked+"\n"), 0o700); err != nil {
		w.t.Fatal(err)
	}
	return asked, browser
}

// asked waits until a browser was opened, and gives the address.
func (w *idpWorld) asked(file string) (page string) {
	w.t.Helper()
	if err := poll("sessctl opens a browser", func() error {
		b, err := os.ReadFile(file)
		page = string(b)
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return page
}

// loginByBrowser runs somebody's sessctl login, whose browser is a file that it writes the address into: the address, and
// what to wait with.
func (w *idpWorld) loginByBrowser(name string, args ...string) (page string, wait func() answer) {
	w.t.Helper()
	asked, browser := w.browserOf(name)
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*patience)
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, "sessctl"), append([]string{"login", "--server", w.url(), "--browser"}, args...)...)
	cmd.Env = w.as(name, "BROWSER="+browser)
	done := make(chan answer, 1)
	go func() { done <- result(cmd, nil) }()
	err := poll("sessctl opens a browser", func() error {
		b, err := os.ReadFile(asked)
		page = string(b)
		return err
	})
	if err != nil {
		cancel()
		w.t.Fatalf("%v: %s", err, (<-done).err)
	}
	return page, func() answer { defer cancel(); return <-done }
}

// chrome is a real browser, headless, with a profile of its own.
func chrome(t *testing.T) context.Context {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.Flag("disable-gpu", true), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("ignore-certificate-errors", true), // the server's certificate is its own
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WindowSize(1000, 800),
	)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium does not start: %v", err)
	}
	return ctx
}

// drive does something in the browser, and shows the page when it does not work out.
func drive(ctx context.Context, t *testing.T, what string, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := chromedp.Do(limited, steps...); err != nil {
		last, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		where, _ := chromedp.Run(last, chromedp.Location())
		page, _ := chromedp.Run(last, chromedp.Text(chromedp.CSS("body")))
		t.Fatalf("%s: %v\nat %s the page says:\n%s", what, err, where, page)
	}
}

// shoot keeps a picture of the page where SESS_E2E_SCREENSHOTS says.
func shoot(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("SESS_E2E_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".png"), png, 0o600); err != nil {
		t.Fatal(err)
	}
}
