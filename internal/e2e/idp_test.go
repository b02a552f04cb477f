package e2e

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sessctl/sess/internal/sess"
)

// A person logs in at a real provider in a real browser, twice: for a sessctl on this machine, and by a code for one on a
// machine without a browser.
func TestLoginByProvider(t *testing.T) {
	t.Parallel()
	w := newIDPWorld(t)
	w.say(map[string]claims{"ann": {Email: "ann@example.com", Verified: true, Groups: []string{"ops", "not-here"}}})
	if err := w.do("group", "create", "ops"); err != nil {
		t.Fatal(err)
	}
	b := chrome(t)

	page, wait := w.loginByBrowser("ann")
	drive(t, b, "the login page", chromedp.Navigate(page), chromedp.WaitVisible(`//a[text()="Continue with corp"]`))
	shoot(t, b, "login")
	drive(t, b, "the provider's page", chromedp.Click(`//a[text()="Continue with corp"]`), chromedp.WaitVisible(chromedp.CSS(`input[name=login]`)))
	drive(t, b, "the provider's login", chromedp.SendKeys(chromedp.CSS(`input[name=login]`), "ann"),
		chromedp.SendKeys(chromedp.CSS(`input[name=password]`), "anything"), chromedp.Click(chromedp.CSS(`button[type=submit]`)))
	drive(t, b, "the provider's consent", chromedp.WaitVisible(`//button[text()="Continue"]`), chromedp.Click(`//button[text()="Continue"]`))
	drive(t, b, "back at sessctl", chromedp.WaitVisible(`//h1[text()="Logged in"]`))
	if a := wait(); a.code != 0 || !strings.Contains(string(a.err), "as ann@example.com") {
		t.Fatalf("exit %d: %s", a.code, a.err)
	}
	shoot(t, b, "landing")
	me, err := w.whoami("ann")
	if err != nil || me.Name != "ann@example.com" || me.Kind != sess.UserIDP || len(me.Grants) != 0 {
		t.Fatalf("%+v, %v", me, err)
	}

	// The same person on a machine without a browser, on a terminal.
	s := sitAt(t, w.as("ann-elsewhere"), 100, 30, filepath.Join(binaries, "sessctl"), "login", "--server", w.url())
	code := regexp.MustCompile(`[B-Z]{4}-[B-Z]{4}`)
	s.until("a code", func() bool { return code.MatchString(s.text()) })
	drive(t, b, "the page for codes", chromedp.Navigate("https://"+w.address()+"/device"), chromedp.WaitVisible(chromedp.ID("code")))
	shoot(t, b, "device")
	drive(t, b, "the code", chromedp.SendKeys(chromedp.ID("code"), strings.ToLower(code.FindString(s.text()))), chromedp.Click(`//button[text()="Continue"]`),
		chromedp.WaitVisible(`//button[text()="Yes, I started it"]`))
	shoot(t, b, "confirm")
	drive(t, b, "the way to the provider", chromedp.Click(`//button[text()="Yes, I started it"]`), chromedp.Click(`//a[text()="Continue with corp"]`))
	drive(t, b, "the end", chromedp.WaitVisible(`//h1[text()="Logged in"]`))
	shoot(t, b, "done")
	s.see("as ann@example.com")
	s.exits(0)
}
