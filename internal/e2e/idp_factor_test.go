package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sessctl/sess/internal/api"
)

// Second factors and several organisations, for people who log in by a browser.
func TestBrowserLoginWithMore(t *testing.T) {
	t.Parallel()
	w := newIDPWorld(t)
	b := chrome(t)
	p := w.enrolAdmin(b, t)
	w.codeInBrowser(b, t, p)
	w.steered(b, t)
	w.goesOn(b, t, p)
}

// by runs somebody's own sessctl.
func (w *idpWorld) by(name string, args ...string) answer {
	cmd := exec.CommandContext(w.t.Context(), filepath.Join(binaries, "sessctl"), args...)
	cmd.Env = w.as(name)
	return result(cmd, nil)
}

// enrolAdmin gives the admin a second factor.
func (w *idpWorld) enrolAdmin(b context.Context, t *testing.T) *phone {
	t.Helper()
	page, wait := w.loginByBrowser("root")
	byPassword(b, t, page)
	w.landed(b, t, wait, adminEmail)
	var begun api.EnrolMFAOut
	if a := w.by("root", "api", "POST", "/v1/mfa/totp"); a.code != 0 || json.Unmarshal(a.out, &begun) != nil {
		t.Fatalf("exit %d: %s%s", a.code, a.out, a.err)
	}
	p := &phone{secret: begun.Secret}
	in := w.path("code.json")
	if err := os.WriteFile(in, []byte(`{"code":"`+p.code(t)+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if a := w.by("root", "api", "POST", "/v1/mfa/totp/confirm", "--input", in); a.code != 0 {
		t.Fatalf("exit %d: %s%s", a.code, a.out, a.err)
	}
	return p
}

// byPassword types the admin's address and password into our page.
func byPassword(b context.Context, t *testing.T, page string) {
	t.Helper()
	drive(b, t, "the password", chromedp.Navigate(page), chromedp.WaitVisible(chromedp.ID("email")), chromedp.SendKeys(chromedp.ID("email"), adminEmail),
		chromedp.SendKeys(chromedp.ID("password"), adminPassword), chromedp.Click(`//button[text()="Log in"]`))
}

// codeInBrowser: who has a second factor shows it on the page, and nothing is asked for in the terminal.
func (w *idpWorld) codeInBrowser(b context.Context, t *testing.T, p *phone) {
	t.Helper()
	page, wait := w.loginByBrowser("root")
	byPassword(b, t, page)
	drive(b, t, "the page for the code", chromedp.WaitVisible(chromedp.ID("code")))
	shoot(b, t, "code")
	drive(b, t, "a wrong code", chromedp.SendKeys(chromedp.ID("code"), "000000"), chromedp.Click(`//button[text()="Log in"]`), chromedp.WaitVisible(chromedp.CSS(`.problem`)))
	drive(b, t, "the right one", chromedp.SendKeys(chromedp.ID("code"), p.code(t)), chromedp.Click(`//button[text()="Log in"]`))
	w.landed(b, t, wait, adminEmail)
	if me, err := w.whoami("root"); err != nil || me.MFAAt == nil {
		t.Errorf("%+v, %v; want a login that has shown a second factor", me, err)
	}
}

// steered: where the organisation demands a second factor, somebody who comes by a provider enrols one in the terminal first,
// and shows it in the browser from then on.
func (w *idpWorld) steered(b context.Context, t *testing.T) {
	t.Helper()
	w.say(map[string]claims{"ann": {Email: "ann@example.com", Verified: true}})
	if err := w.do("org", "set", "require-mfa", "on"); err != nil {
		t.Fatal(err)
	}
	asked, browser := w.browserOf("ann")
	s := sitAt(t, w.as("ann", "BROWSER="+browser), 100, 60, filepath.Join(binaries, "sessctl"), "login", "--server", w.url(), "--browser", "--idp", "corp")
	page := w.asked(asked)
	drive(b, t, "the provider's page", chromedp.Navigate(page), chromedp.WaitVisible(chromedp.CSS(`input[name=login]`)))
	drive(b, t, "the provider's login", chromedp.SendKeys(chromedp.CSS(`input[name=login]`), "ann"),
		chromedp.SendKeys(chromedp.CSS(`input[name=password]`), "anything"), chromedp.Click(chromedp.CSS(`button[type=submit]`)))
	drive(b, t, "the provider's consent", chromedp.WaitVisible(`//button[text()="Continue"]`), chromedp.Click(`//button[text()="Continue"]`))
	s.see("demands a second factor")
	s.see("or type in the secret:")
	m := regexp.MustCompile(`type in the secret: ([A-Z2-7 ]+)`).FindStringSubmatch(s.text())
	if m == nil {
		t.Fatalf("no secret on the screen:\n%s", s.text())
	}
	// Nothing else works until it is done.
	if a := w.by("ann", "instance", "list"); a.code == 0 {
		t.Errorf("something works before the enrolment: %s", a.out)
	}
	p := &phone{secret: strings.ReplaceAll(strings.TrimSpace(m[1]), " ", "")}
	s.typ(p.code(t) + "\r")
	s.see("as ann@example.com")
	s.exits(0)

	page, wait := w.loginByBrowser("ann", "--idp", "corp")
	drive(b, t, "straight to the code", chromedp.Navigate(page), chromedp.WaitVisible(chromedp.ID("code")))
	drive(b, t, "the code", chromedp.SendKeys(chromedp.ID("code"), p.code(t)), chromedp.Click(`//button[text()="Log in"]`))
	w.landed(b, t, wait, "ann@example.com")
	if err := w.do("org", "set", "require-mfa", "off"); err != nil {
		t.Fatal(err)
	}
}

// goesOn: a login by a browser goes on to the organisation that was named; at a terminal the password asks which one.
func (w *idpWorld) goesOn(b context.Context, t *testing.T, p *phone) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(binaries, "sess-server"), "admin", "org", "create", "acme", "--admin", adminEmail, "--data-dir", w.path("data"))
	cmd.Env = w.env()
	a := result(cmd, nil)
	m := acceptLink.FindStringSubmatch(string(a.out))
	if a.code != 0 || m == nil {
		t.Fatalf("exit %d: %s%s", a.code, a.out, a.err)
	}
	password := w.path("password-of-admin")
	if err := os.WriteFile(password, []byte(adminPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if a := w.by("acme", "accept", m[1], "--password-file", password); a.code != 0 {
		t.Fatalf("exit %d: %s", a.code, a.err)
	}
	page, wait := w.loginByBrowser("far", "--org", "acme")
	byPassword(b, t, page)
	drive(b, t, "the code", chromedp.WaitVisible(chromedp.ID("code")), chromedp.SendKeys(chromedp.ID("code"), p.code(t)), chromedp.Click(`//button[text()="Log in"]`))
	w.landed(b, t, wait, adminEmail)
	if me, err := w.whoami("far"); err != nil || me.OrgName != "acme" {
		t.Errorf("%+v, %v; want to be in acme", me, err)
	}

	s := sitAt(t, w.as("near"), 100, 30, filepath.Join(binaries, "sessctl"), "login", "--server", w.url(), "--email", adminEmail)
	s.see("Password:")
	s.typ(adminPassword + "\r")
	s.see("you are in several organisations: acme, default")
	s.typ("acme\r")
	s.see("logged in to")
	s.exits(0)
	if me, err := w.whoami("near"); err != nil || me.OrgName != "acme" {
		t.Errorf("%+v, %v; want to be in acme", me, err)
	}
}
