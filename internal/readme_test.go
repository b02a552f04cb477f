package internal_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// demoPatience bounds how long a line of the demo may take to print what the README says: recordings close a moment
// after their session.
const demoPatience = 20 * time.Second

// shown is a line of the README's demo and what it prints.
type shown struct{ command, output string }

// demo gives the first console block of the README.
func demo(t *testing.T) []shown {
	t.Helper()
	_, rest, ok := strings.Cut(document(t, "README.md"), "```console\n")
	block, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("README.md has no console block")
	}
	var list []shown
	for line := range strings.Lines(block) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			list = append(list, shown{command: strings.TrimSpace(command)})
		} else if len(list) > 0 {
			list[len(list)-1].output += line
		}
	}
	return list
}

// varying is what differs from run to run: ids, ages, sizes, loads, hashes and numbers of events.
var varying = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\b(ins|ses)_[a-z0-9]{16}`), "${1}_ID"},
	{regexp.MustCompile(`\b(now|\d+[smh] ago)\b`), "AGE"},
	{regexp.MustCompile(`\b\d+(\.\d+)? (B|kB|KiB)\b`), "SIZE"},
	{regexp.MustCompile(`\b\d+\.\d\d\b`), "LOAD"},
	{regexp.MustCompile(`Events: +\d+`), "Events: N"},
	{regexp.MustCompile(`Waiting for a place: +\d+`), "Waiting: N"},
	{regexp.MustCompile(`[A-Za-z0-9+/]{43}=`), "HASH"},
	{regexp.MustCompile(`\b\d+s\b`), "LENGTH"},
	{regexp.MustCompile(`[ \t]+`), " "},
	{regexp.MustCompile(` ?\r?\n`), "\n"},
}

func settled(s string) string {
	for _, v := range varying {
		s = v.what.ReplaceAllString(s, v.as)
	}
	return s
}

// onTerminal runs a line of bash on a terminal and gives what it shows.
func onTerminal(t *testing.T, dir, line string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "NO_COLOR=1", "TERM=xterm")
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 120})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out bytes.Buffer
	if _, err := io.Copy(&out, f); err != nil && !errors.Is(err, syscall.EIO) { // its end of file
		t.Fatal(err)
	}
	_ = cmd.Wait() // the line says what it exits with
	return out.String()
}

func TestReadmeDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: builds the three programs")
	}
	lines := demo(t)
	if len(lines) < 4 {
		t.Fatalf("the demo has %d lines", len(lines))
	}
	state := filepath.Join(t.TempDir(), "state")
	quickstart := func(arg string) {
		cmd := exec.Command("../scripts/quickstart", "--state", state, arg)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("quickstart %s: %v\n%s", arg, err, out)
		}
	}
	quickstart("--detach")
	defer quickstart("--stop")
	dir := t.TempDir()
	for _, l := range lines {
		deadline := time.Now().Add(demoPatience)
		for {
			got := onTerminal(t, dir, ". "+state+"/env; "+l.command)
			if settled(got) == settled(l.output) {
				break
			}
			if !strings.HasPrefix(l.command, "sessctl recording") || time.Now().After(deadline) {
				t.Fatalf("README.md says that %q prints\n%s\nand it prints\n%s", l.command, l.output, got)
			}
		}
	}
}

// Links in documents lead somewhere.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "docs/reference/cli/*.md", "internal/*/*.md"} {
		found, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(f), filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s: a link to %s, which is not there", f, m[1])
			}
		}
	}
}
