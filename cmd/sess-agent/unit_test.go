package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/agent"
)

// TestPackagedUnitIsTheInstalledOne: packages and "sess-agent install" set the same service up, but for the first line.
func TestPackagedUnitIsTheInstalledOne(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: install makes the machine's service for root only, and this test does not run as root")
	}
	want, err := agent.Service{Binary: "/usr/bin/sess-agent", State: "/var/lib/sess-agent"}.Unit()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("sess-agent.service")
	if err != nil {
		t.Fatal(err)
	}
	_, gotRest, _ := strings.Cut(string(got), "\n")
	_, wantRest, _ := strings.Cut(want, "\n")
	if gotRest != wantRest {
		t.Errorf("sess-agent.service is\n%s\nand install writes\n%s", gotRest, wantRest)
	}
}

// TestUnitsVerify has systemd itself look at the units of both programs.
func TestUnitsVerify(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("systemd-analyze is missing: CI must have it")
		}
		t.Skip("SKIPPED: there is no systemd-analyze to check the units with")
	}
	for _, unit := range []string{"sess-agent.service", "../sess-server/sess-server.service"} {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		// The programs are not installed here; anything that can be run stands in for them.
		stand := strings.ReplaceAll(string(text), "ExecStart=/usr/bin/sess-", "ExecStart=/bin/true sess-")
		path := filepath.Join(t.TempDir(), filepath.Base(unit))
		if err := os.WriteFile(path, []byte(stand), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", path).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
}
