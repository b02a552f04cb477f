package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sessctl/sess/internal/agent"
	"github.com/sessctl/sess/internal/sess"
)

const fullConfig = `
# the owner's last word
default_user = deploy
allow_users=deploy, "www-data"
allow_kinds = exec
  deny_root = true
env_allow = LANG, LC_*, APP_*
max_sessions = 7
`

func TestParseConfig(t *testing.T) {
	var got agent.Config
	text := strings.ReplaceAll(fullConfig, `"www-data"`, "www-data")
	if err := agent.ParseConfig(strings.NewReader(text), "config", &got); err != nil {
		t.Fatal(err)
	}
	want := agent.Config{
		DefaultUser: "deploy", AllowUsers: []string{"deploy", "www-data"}, AllowKinds: []sess.Kind{sess.KindExec},
		DenyRoot: true, EnvAllow: []string{"LANG", "LC_*", "APP_*"}, MaxSessions: 7,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("ParseConfig: (-want +got)\n%s", d)
	}
}

func TestConfigMistakesNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"deny_rot = true":                     `c:1: unknown setting "deny_rot"`,
		"\n# x\ndeny_root":                    "c:3: a line is key = value",
		"deny_root = perhaps":                 `c:1: "perhaps" is neither true nor false`,
		"allow_kinds = shell, telnet":         `c:1: "telnet" is no kind of session`,
		"max_sessions = -1":                   `c:1: "-1" is no number from 0 to 1000`,
		"deny_root = true\ndeny_root = false": "c:2: deny_root is set on line 1 already",
		"allow_users = a b":                   `c:1: "a b" is no user name`,
		"env_allow = [":                       `c:1: "[" is no pattern`,
		"default_user = *":                    `c:1: "*" is no user name`,
		strings.Repeat("# filler\n", 64<<10/9) + "deny_root = true": "the file is too long",
	} {
		var c agent.Config
		err := agent.ParseConfig(strings.NewReader(text), "c", &c)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseConfig(%.40q) = %v, want %q", text, err, want)
		}
	}
}

func TestFlagsOverEnvironmentOverFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte("default_user = file\nmax_sessions = 1\ndeny_root = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"SESS_AGENT_DEFAULT_USER": "env", "SESS_AGENT_MAX_SESSIONS": "2"}
	got, err := agent.LoadConfig(file, func(k string) (string, bool) { v, ok := env[k]; return v, ok }, map[string]string{"max_sessions": "3"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(agent.Config{DefaultUser: "env", MaxSessions: 3, DenyRoot: true}, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if err := os.Chmod(file, 0o622); err != nil {
		t.Fatal(err)
	}
	none := func(string) (string, bool) { return "", false }
	if _, err := agent.LoadConfig(file, none, nil); err == nil || !strings.Contains(err.Error(), "may be changed by others") {
		t.Errorf("a file that others may write: %v", err)
	}
	if _, err := agent.LoadConfig(file+"x", none, nil); err == nil {
		t.Error("a named file that is missing is no error")
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add(fullConfig)
	f.Add("a=b\n\x00")
	f.Add("allow_users = \"\"\nmax_sessions=99999999999999999999")
	f.Fuzz(func(t *testing.T, text string) {
		var c agent.Config
		if err := agent.ParseConfig(strings.NewReader(text), "c", &c); err != nil {
			return
		}
		if c.MaxSessions < 0 || c.MaxSessions > 1000 {
			t.Errorf("max_sessions = %d", c.MaxSessions)
		}
		for _, u := range append(c.AllowUsers, c.DefaultUser) {
			if strings.ContainsAny(u, ":/*, ") {
				t.Errorf("user %q", u)
			}
		}
	})
}
