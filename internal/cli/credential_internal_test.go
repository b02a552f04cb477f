package cli

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
)

// testApp is sessctl of somebody whose files are in a directory of the test, with the given environment.
func testApp(t *testing.T, env map[string]string) (*app, string) {
	t.Helper()
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("HOME", home)
	errs, err := os.Create(filepath.Join(home, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errs.Close() })
	return &app{in: errs, out: errs, err: errs, now: time.Now, getenv: func(k string) string { return env[k] }}, home
}

var testLogin = api.LoginOut{Token: "sesl_x", Email: "ann@example.com", ExpiresAt: time.Now().Add(time.Hour)}

func testServer() link.Server {
	return link.Server{URL: &url.URL{Scheme: "https", Host: "example.com:8443"}, Pin: make([]byte, 32)}
}

func TestKeyring(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the files are elsewhere")
	}
	keyring.MockInit()
	a, home := testApp(t, map[string]string{"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"})
	if err := a.remember(testServer(), testLogin); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(home, "sessctl", "credentials.json")); err == nil {
		t.Error("there is a file of credentials beside the keyring")
	}
	a.conf = nil
	if got, err := a.bearer(testServer()); err != nil || got != "sesl_x" {
		t.Errorf("bearer = %q, %v", got, err)
	}
	if err := a.forget(testServer()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.bearer(testServer()); !errors.Is(err, sess.ErrUnauthenticated) {
		t.Errorf("bearer after logout: %v", err)
	}
}

// A keyring that fails is as good as none: the file, and one line that says so, without the library's words.
func TestKeyringFails(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the files are elsewhere")
	}
	keyring.MockInitWithError(errors.New("exec: dbus-launch: not found"))
	a, home := testApp(t, map[string]string{"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"})
	if err := a.remember(testServer(), testLogin); err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile(filepath.Join(home, "stderr"))
	if err != nil || strings.Count(string(said), "\n") != 1 || strings.Contains(string(said), "dbus") {
		t.Errorf("said %q, %v", said, err)
	}
	info, err := os.Stat(filepath.Join(home, "sessctl", "credentials.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	a.conf = nil
	if got, err := a.bearer(testServer()); err != nil || got != "sesl_x" {
		t.Errorf("bearer = %q, %v", got, err)
	}
}

func TestKeyringHangs(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	if err := within(time.Millisecond, func() error { <-hang; return nil }); !errors.Is(err, errKeyringSlow) {
		t.Errorf("err %v", err)
	}
}

func TestNoKeyringWithoutBus(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no bus")
	}
	for _, env := range []map[string]string{{}, {"DBUS_SESSION_BUS_ADDRESS": "x", "SESSCTL_CONFIG_DIR": "y"}} {
		if a, _ := testApp(t, env); a.hasKeyring() {
			t.Errorf("%v: it would be asked", env)
		}
	}
}

func TestLoginExpires(t *testing.T) {
	a, home := testApp(t, map[string]string{"SESSCTL_CONFIG_DIR": filepath.Join(t.TempDir(), "conf")})
	_ = home
	if err := a.remember(testServer(), testLogin); err != nil {
		t.Fatal(err)
	}
	a.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	_, err := a.bearer(testServer())
	if !errors.Is(err, sess.ErrUnauthenticated) || !strings.Contains(err.Error(), "has expired") {
		t.Errorf("err %v", err)
	}
}

// Logins in several organisations of a server are kept apart, and named by --org.
func TestLoginsByOrganisation(t *testing.T) {
	env := map[string]string{"SESSCTL_CONFIG_DIR": filepath.Join(t.TempDir(), "conf")}
	a, _ := testApp(t, env)
	for _, l := range []api.LoginOut{
		{Token: "sesl_a", Email: "ann@example.com", Org: "org_a", OrgName: "acme", ExpiresAt: time.Now().Add(time.Hour)},
		{Token: "sesl_b", Email: "ann@example.com", Org: "org_b", OrgName: "beta", ExpiresAt: time.Now().Add(time.Hour)},
	} {
		if err := a.remember(testServer(), l); err != nil {
			t.Fatal(err)
		}
	}
	want := func(org, fromEnv, token string) {
		t.Helper()
		a.conf, a.org, env["SESSCTL_ORG"] = nil, org, fromEnv
		got, err := a.bearer(testServer())
		if got != token || (token == "") != errors.Is(err, sess.ErrUnauthenticated) {
			t.Errorf("--org %q SESSCTL_ORG=%q: %q, %v; want %q", org, fromEnv, got, err, token)
		}
	}
	want("", "", "sesl_b")
	want("acme", "", "sesl_a")
	want("org_a", "", "sesl_a")
	want("", "acme", "sesl_a")
	want("beta", "acme", "sesl_b")
	want("other", "", "")
	a.org = "beta"
	if err := a.forget(testServer()); err != nil {
		t.Fatal(err)
	}
	want("", "", "") // who logged out of one is not put into another by surprise
	want("acme", "", "sesl_a")
	env["SESSCTL_API_KEY"] = "sesk_x"
	a.org = "acme"
	if _, err := a.bearer(testServer()); !errors.Is(err, sess.ErrInvalid) {
		t.Errorf("an API key and --org: %v", err)
	}
}

// A file of a former version is still read, and gives way to a login of the new kind.
func TestFormerFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "conf")
	a, _ := testApp(t, map[string]string{"SESSCTL_CONFIG_DIR": dir})
	server := key(testServer())
	if err := writeJSON(filepath.Join(dir, "config.json"), map[string]any{"current": server, "servers": map[string]any{
		server: map[string]any{"pin": pinString(testServer()), "email": "ann@example.com", "org": "acme", "expires_at": time.Now().Add(time.Hour)},
	}}); err != nil {
		t.Fatal(err)
	}
	if err := writeJSON(filepath.Join(dir, "credentials.json"), map[string]string{server: "sesl_old"}); err != nil {
		t.Fatal(err)
	}
	if got, err := a.bearer(testServer()); err != nil || got != "sesl_old" {
		t.Errorf("bearer = %q, %v", got, err)
	}
	if all, err := a.contexts(); err != nil || len(all) != 1 || all[0].Name != "acme@example.com:8443" || !all[0].Current {
		t.Errorf("contexts: %+v, %v", all, err)
	}
	if err := a.remember(testServer(), api.LoginOut{Token: "sesl_new", Org: "org_a", OrgName: "acme", ExpiresAt: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	a.conf = nil
	if got, err := a.bearer(testServer()); err != nil || got != "sesl_new" {
		t.Errorf("bearer = %q, %v", got, err)
	}
	if tokens, err := a.credentials(); err != nil || len(tokens) != 1 {
		t.Errorf("the former token is still there: %d, %v", len(tokens), err)
	}
}

// Contexts are found by whatever names only one of them.
func TestFindContext(t *testing.T) {
	a, _ := testApp(t, map[string]string{"SESSCTL_CONFIG_DIR": filepath.Join(t.TempDir(), "conf")})
	second := link.Server{URL: &url.URL{Scheme: "https", Host: "second.example"}}
	for _, l := range []struct {
		on   link.Server
		id   sess.OrgID
		name string
	}{{testServer(), "org_a", "acme"}, {testServer(), "org_b", "beta"}, {second, "org_c", "acme"}} {
		if err := a.remember(l.on, api.LoginOut{Token: "sesl_x", Org: l.id, OrgName: l.name, ExpiresAt: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	for ref, want := range map[string]string{
		"acme@second.example": "org_c", "beta": "org_b", "second.example": "org_c", "https://second.example": "org_c", "example.com:8443": "org_b", "org_a": "org_a",
		"acme": "several", "nothing": "none", "": "none",
	} {
		got, err := a.findContext(ref)
		switch {
		case errors.Is(err, sess.ErrNotFound):
			got.OrgID = "none"
		case errors.Is(err, sess.ErrInvalid):
			got.OrgID = "several"
		case err != nil:
			t.Fatal(err)
		}
		if got.OrgID != want {
			t.Errorf("%q: %s, %v; want %s", ref, got.OrgID, err, want)
		}
	}
	x, err := a.findContext("acme@second.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.removeContext(x); err != nil {
		t.Fatal(err)
	}
	if tokens, err := a.credentials(); err != nil || len(tokens) != 2 || a.conf.Current != "" {
		t.Errorf("after remove: %d tokens, current %q, %v", len(tokens), a.conf.Current, err)
	}
}
