package e2e

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// People log in at real providers in a real browser: for a sessctl on this machine, and by a code for one on a machine
// without a browser.
func TestLoginByProvider(t *testing.T) {
	t.Parallel()
	w := newIDPWorld(t)
	w.say(map[string]claims{"ann": {Email: "ann@example.com", Verified: true, Groups: []string{"ops", "not-here"}}})
	for _, args := range [][]string{{"group", "create", "ops"}, {"grant", "add", "--group", "ops", "--role", "operator"}, {"idp", "test", "corp"}} {
		if err := w.do(args...); err != nil {
			t.Fatal(err)
		}
	}
	b := chrome(t)
	w.openID(b, t)
	w.byDevice(b, t)
	w.again(b, t)
	w.saml(b, t)
	w.password(b, t)

	if err := w.do("idp", "remove", "corp"); err != nil {
		t.Fatal(err)
	}
	if me, err := w.whoami("ann"); err == nil || !strings.Contains(err.Error(), "exit 4") {
		t.Errorf("after its provider was removed: %+v, %v", me, err)
	}
}

// openID is a first login, at the real provider's own pages.
func (w *idpWorld) openID(b context.Context, t *testing.T) {
	t.Helper()
	page, wait := w.loginByBrowser("ann")
	drive(b, t, "the login page", chromedp.Navigate(page), chromedp.WaitVisible(`//a[text()="Continue with corp"]`))
	shoot(b, t, "login")
	drive(b, t, "the provider's page", chromedp.Click(`//a[text()="Continue with corp"]`), chromedp.WaitVisible(chromedp.CSS(`input[name=login]`)))
	drive(b, t, "the provider's login", chromedp.SendKeys(chromedp.CSS(`input[name=login]`), "ann"),
		chromedp.SendKeys(chromedp.CSS(`input[name=password]`), "anything"), chromedp.Click(chromedp.CSS(`button[type=submit]`)))
	drive(b, t, "the provider's consent", chromedp.WaitVisible(`//button[text()="Continue"]`), chromedp.Click(`//button[text()="Continue"]`))
	w.landed(b, t, wait, "ann@example.com")
	shoot(b, t, "landing")
	me, err := w.whoami("ann")
	if err != nil || me.Name != "ann@example.com" || me.Kind != sess.UserIDP || len(me.Grants) != 1 || me.Grants[0].Role != sess.RoleOperator {
		t.Fatalf("%+v, %v; want what the group ops gives", me, err)
	}
}

// landed waits until the browser is back at sessctl, and sessctl is logged in.
func (w *idpWorld) landed(b context.Context, t *testing.T, wait func() answer, name string) {
	t.Helper()
	drive(b, t, "back at sessctl", chromedp.WaitVisible(`//p[contains(text(), "sessctl goes on in your terminal")]`))
	if a := wait(); a.code != 0 || !strings.Contains(string(a.err), "as "+name) {
		t.Fatalf("exit %d: %s", a.code, a.err)
	}
}

// byDevice is the same person on a machine without a browser, on a terminal.
func (w *idpWorld) byDevice(b context.Context, t *testing.T) {
	t.Helper()
	s := sitAt(t, w.as("ann-elsewhere"), 100, 30, filepath.Join(binaries, "sessctl"), "login", "--server", w.url())
	code := regexp.MustCompile(`[B-Z]{4}-[B-Z]{4}`)
	s.until("a code", func() bool { return code.MatchString(s.text()) })
	drive(b, t, "the page for codes", chromedp.Navigate("https://"+w.address()+"/device"), chromedp.WaitVisible(chromedp.ID("code")))
	shoot(b, t, "device")
	drive(b, t, "the code", chromedp.SendKeys(chromedp.ID("code"), strings.ToLower(code.FindString(s.text()))), chromedp.Click(`//button[text()="Continue"]`),
		chromedp.WaitVisible(`//button[text()="Yes, I started it"]`))
	shoot(b, t, "confirm")
	drive(b, t, "the way to the provider", chromedp.Click(`//button[text()="Yes, I started it"]`), chromedp.Click(`//a[text()="Continue with corp"]`))
	drive(b, t, "the end", chromedp.WaitVisible(`//h1[text()="Logged in"]`))
	shoot(b, t, "done")
	s.see("as ann@example.com")
	s.exits(0)
}

// again is a login straight to the provider, which knows the person still, and says other things about them now.
func (w *idpWorld) again(b context.Context, t *testing.T) {
	t.Helper()
	w.say(map[string]claims{"ann": {Email: "ann@example.com", Verified: true}})
	page, wait := w.loginByBrowser("ann", "--org", "default", "--idp", "corp")
	drive(b, t, "straight through", chromedp.Navigate(page))
	w.landed(b, t, wait, "ann@example.com")
	if me, err := w.whoami("ann"); err != nil || len(me.Grants) != 0 {
		t.Errorf("%+v, %v; want nothing, since no group is left", me, err)
	}
}

// saml is a login at a provider of another site: the browser posts what it says, and has to bring its cookie all the same.
func (w *idpWorld) saml(b context.Context, t *testing.T) {
	t.Helper()
	base := samlWorld(t)
	p, err := get[api.IDP](w.world, "idp", "add", "saml", "--kind", "saml", "--metadata-url", base+"/metadata", "--groups-attribute", "eduPersonAffiliation")
	if err != nil {
		t.Fatal(err)
	}
	put(t, base+"/services/sess", fetch(t, p.MetadataURL))
	page, wait := w.loginByBrowser("ben")
	drive(b, t, "the provider's page", chromedp.Navigate(page), chromedp.Click(`//a[text()="Continue with saml"]`), chromedp.WaitVisible(chromedp.CSS(`input[name=user]`)))
	drive(b, t, "the provider's login", chromedp.SendKeys(chromedp.CSS(`input[name=user]`), "ben"),
		chromedp.SendKeys(chromedp.CSS(`input[name=password]`), "ben's password"), chromedp.Click(chromedp.CSS(`input[type=submit]`)))
	w.landed(b, t, wait, "ben@example.com")
	if me, err := w.whoami("ben"); err != nil || len(me.Grants) != 1 || me.Kind != sess.UserIDP {
		t.Errorf("%+v, %v; want what the group ops gives", me, err)
	}
}

// password is a login at our own page, with a mistake first.
func (w *idpWorld) password(b context.Context, t *testing.T) {
	t.Helper()
	page, wait := w.loginByBrowser("root")
	drive(b, t, "a wrong password", chromedp.Navigate(page), chromedp.SendKeys(chromedp.ID("email"), adminEmail),
		chromedp.SendKeys(chromedp.ID("password"), "wrong"), chromedp.Click(`//button[text()="Log in"]`), chromedp.WaitVisible(chromedp.CSS(`.problem`)))
	shoot(b, t, "problem")
	drive(b, t, "the right one", chromedp.SendKeys(chromedp.ID("password"), adminPassword), chromedp.Click(`//button[text()="Log in"]`))
	w.landed(b, t, wait, adminEmail)
}
