package sess_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// Two keys by their looks.
var (
	ageKey = "age1" + strings.Repeat("q", 58)
	other  = "age1" + strings.Repeat("p", 58)
)

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		key, set, want string
		bad            string // what the error says
	}{
		{"session-manager", "off", "off", ""},
		{"session-manager", "ON", "", "on or off"},
		{"require-mfa", "on", "on", ""},
		{"login-validity", "12h", "12h", ""},
		{"login-validity", "1d12h", "36h", ""},
		{"login-validity", "30d", "30d", ""},
		{"login-validity", "4m59s", "", "5m to 90d"},
		{"login-validity", "91d", "", "5m to 90d"},
		{"login-validity", "-12h", "", "is a duration"},
		{"login-validity", "12", "", "is a duration"},
		{"idle-logout", "5m", "5m", ""},
		{"idle-logout", "1m", "", "5m to"},
		{"lockout-failures", "3", "3", ""},
		{"lockout-failures", "0", "", "2 to 100"},
		{"lockout-failures", "1e3", "", "2 to 100"},
		{"lockout-window", "1h", "1h", ""},
		{"key-validity", "2d", "2d", ""},
		{"key-max-validity", "10y", "", "is a duration"},
		{"key-max-validity", "36600d", "", "to 3660d"},
		{"session-idle-timeout", "15m", "15m", ""},
		{"session-idle-timeout", "3s", "3s", ""},
		{"session-idle-timeout", "31d", "", "1s to 30d"},
		{"session-max-duration", "8h", "8h", ""},
		{"session-grace", "25h", "", "1s to 24h"},
		{"session-end-with-login", "on", "on", ""},
		{"session-reason", "on", "on", ""},
		{"session-recording", "strict", "strict", ""},
		{"session-recording", "never", "", "strict, on, off or none"},
		{"session-record-input", "masked", "masked", ""},
		{"session-recording-links", "off", "off", ""},
		{"max-sessions", "20", "20", ""},
		{"max-sessions", "0", "", "1 to 10000"},
		{"max-connections", "x", "", "1 to 10000"},
		{"recording-recipients", ageKey, ageKey, ""},
		{"recording-recipients", ageKey + ", " + ageKey + "\n# a comment\nssh-ed25519 AAAA ann@example.com", ageKey + ",ssh-ed25519 AAAA", ""},
		{"recording-recipients", ageKey + " " + other, ageKey + "," + other, ""},
		{"recording-recipients", ageKey[:60], "", "is not whole"},
		{"recording-recipients", "age1yubikey1" + ageKey, "", "of a plugin"},
		{"recording-recipients", "ssh-rsa AAAA", "", "only ssh-ed25519"},
		{"recording-recipients", "AGE-SECRET-KEY-1QQ", "", "secret key"},
		{"recording-recipients", "ann@example.com", "", "public keys of age"},
		{"recording-recipients", "# nothing", "", "no public key"},
	} {
		var s sess.Settings
		k, err := sess.FindSetting(c.key)
		if err != nil {
			t.Fatal(err)
		}
		err = k.Set(&s, c.set)
		if c.want == "" {
			if err == nil || !strings.Contains(err.Error(), c.bad) || s != (sess.Settings{}) {
				t.Errorf("%s %q: %v, %+v", c.key, c.set, err, s)
			}
			continue
		}
		got, byDefault := k.Get(s)
		if err != nil || got != c.want || byDefault {
			t.Errorf("%s %q: %q, default %v, %v; want %q", c.key, c.set, got, byDefault, err, c.want)
		}
		if err := k.Set(&s, "default"); err != nil || s != (sess.Settings{}) {
			t.Errorf("%s default: %+v, %v", c.key, s, err)
		}
		if _, byDefault := k.Get(s); !byDefault {
			t.Errorf("%s: not by default", c.key)
		}
	}
	if _, err := sess.FindSetting("colour"); err == nil {
		t.Error("there is a setting colour")
	}
	if err := (sess.Settings{KeySeconds: 7200, KeyMaxSeconds: 3600}).Check(); err == nil {
		t.Error("keys are valid for longer than they may")
	}
	if err := (sess.Settings{KeyMaxSeconds: 3600}).Check(); err != nil {
		t.Errorf("a lower maximum alone: %v", err)
	}
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"12h", "30d", "1d12h", "90m", "1d1d", "d", "", "-1d", "1d-1h", "99999d", "1.5h", "1ns", "1d+1h", "9223372036854775807h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := sess.ParseDuration(s)
		if err != nil {
			return
		}
		if d <= 0 || d%time.Second != 0 {
			t.Errorf("%q is %v", s, d)
		}
		if again, err := sess.ParseDuration(sess.FormatDuration(d)); err != nil || again != d {
			t.Errorf("%q is %v, written %q, read %v, %v", s, d, sess.FormatDuration(d), again, err)
		}
	})
}
