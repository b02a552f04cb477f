package process_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessctl/sess/internal/agent/process"
	"github.com/sessctl/sess/internal/sess"
)

func TestCheckEnv(t *testing.T) {
	for _, c := range []struct {
		env   map[string]string
		allow string
		want  map[string]string
		name  string // refused
	}{
		{map[string]string{"A": "1", "LANG": "C"}, "*", map[string]string{"A": "1", "LANG": "C"}, ""},
		{map[string]string{"LANG": "C", "LC_ALL": "C", "TZ": "UTC"}, "A", map[string]string{}, ""},
		{map[string]string{"APP_X": "1"}, "APP_*", map[string]string{"APP_X": "1"}, ""},
		{map[string]string{"B": "1"}, "A", nil, "B"},
		{map[string]string{"LD_PRELOAD": "/x"}, "*", nil, "LD_PRELOAD"},
		{map[string]string{"LD_PRELOAD": "/x"}, "LD_PRELOAD", nil, "LD_PRELOAD"},
		{map[string]string{"SESS_SESSION": "other"}, "*", nil, "SESS_SESSION"},
		{map[string]string{"SESS_AGENT": "other"}, "*", nil, "SESS_AGENT"},
	} {
		got, err := process.CheckEnv(c.env, []string{c.allow})
		if c.name != "" {
			if !errors.Is(err, sess.ErrRejected) || !strings.Contains(err.Error(), c.name) {
				t.Errorf("CheckEnv(%v, %s) = %v, want %s refused", c.env, c.allow, err, c.name)
			}
			continue
		}
		if d := cmp.Diff(c.want, got); d != "" || err != nil {
			t.Errorf("CheckEnv(%v, %s): %v (-want +got)\n%s", c.env, c.allow, err, d)
		}
	}
}

func TestUnknownUsers(t *testing.T) {
	for _, name := range []string{"", "no-such-user-x", "-R", "a:b", "../x", "a b", strings.Repeat("x", 100)} {
		if _, err := (process.Accounts{}).Lookup(t.Context(), name); !errors.Is(err, sess.ErrNotFound) {
			t.Errorf("Lookup(%q) = %v, want not found", name, err)
		}
	}
}

// TestCleanSignals starts this program with signals ignored and blocked, as nohup and others do, and looks at what its
// children get.
func TestCleanSignals(t *testing.T) {
	if os.Getenv("SESS_TEST_CLEAN") != "" {
		if err := process.CleanSignals(context.Background()); err != nil {
			_, _ = fmt.Fprintln(os.Stdout, err)
		}
		out, _ := exec.Command("grep", "-E", "Sig(Ign|Blk)", "/proc/self/status").Output()
		_, _ = os.Stdout.Write(out)
		os.Exit(0)
	}
	if exec.Command("env", "--ignore-signal=INT", "--block-signal=TERM", "true").Run() != nil {
		t.Skip("env can't ignore and block signals here")
	}
	cmd := exec.Command("env", "--ignore-signal=INT", "--ignore-signal=HUP", "--ignore-signal=QUIT", "--ignore-signal=TSTP", "--ignore-signal=TTOU",
		"--block-signal=TERM", "--block-signal=USR1", os.Args[0], "-test.run=^TestCleanSignals$")
	cmd.Env = append(os.Environ(), "SESS_TEST_CLEAN=1", "SESS_AGENT_CLEAN=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("child has %q, want %q", out, want)
		}
	}
}

func TestExpiredAccount(t *testing.T) {
	shadow := filepath.Join(t.TempDir(), "shadow")
	if err := os.WriteFile(shadow, []byte("ann:*:1:0:99999:7::20000:\nbob:*:1:0:99999:7:::\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := process.Accounts{Shadow: shadow}
	day := func(n int64) time.Time { return time.Unix(n*86400, 0) }
	if err := a.MayLogin(process.Account{Name: "ann", UID: 0}, day(19999)); err != nil {
		t.Errorf("the day before: %v", err)
	}
	if err := a.MayLogin(process.Account{Name: "ann", UID: 0}, day(20000)); !errors.Is(err, sess.ErrRejected) {
		t.Errorf("the day itself: %v, want rejected", err)
	}
	if err := a.MayLogin(process.Account{Name: "bob", UID: 0}, day(90000)); err != nil {
		t.Errorf("without an end: %v", err)
	}
}
