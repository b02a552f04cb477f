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
