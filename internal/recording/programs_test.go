package recording_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/recording/vt"
	"github.com/sessctl/sess/internal/sess"
)

// need skips the test where a real program it drives is not installed.
func need(t *testing.T, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			t.Skipf("%s is not installed", n)
		}
	}
}

const (
	testCols = 90
	testRows = 28
)

// drive runs a program on a PTY, types keys, one piece after the other whenever the program has been quiet, and gives
// what it wrote until it was quiet after the last.
func drive(t *testing.T, argv []string, keys ...string) []byte {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "TERM=xterm-256color", "LC_ALL=C.UTF-8", "TMUX=", "HOME="+t.TempDir(), "PS1=$ ")
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: testCols, Rows: testRows})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = f.Close()
		_ = cmd.Wait()
	}()
	got := make(chan []byte, 64)
	go func() {
		defer close(got)
		for {
			b := make([]byte, 32<<10)
			n, err := f.Read(b)
			if err != nil {
				return
			}
			got <- b[:n]
		}
	}()
	var out []byte
	quiet := func(begin time.Duration) {
		pause, limit := time.NewTimer(begin), time.After(5*time.Second)
		defer pause.Stop()
		for {
			select {
			case b, ok := <-got:
				if !ok {
					return
				}
				out = append(out, b...)
				pause.Reset(150 * time.Millisecond)
			case <-pause.C:
				return
			case <-limit:
				return
			}
		}
	}
	quiet(3 * time.Second)
	for _, k := range keys {
		if _, err := f.WriteString(k); err != nil {
			t.Fatal(err)
		}
		quiet(300 * time.Millisecond)
	}
	return out
}

// tmuxSees shows bytes in a real terminal emulator, tmux, and gives what it then has: text with colours, cursor, modes.
func tmuxSees(t *testing.T, shown ...[]byte) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "bytes")
	if err := os.WriteFile(file, bytes.Join(shown, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	sock := filepath.Join(dir, "tmux")
	tmux := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("tmux", append([]string{"-S", sock, "-f", "/dev/null"}, args...)...)
		cmd.Env = append(os.Environ(), "TMUX=", "LC_ALL=C.UTF-8")
		b, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("tmux %v: %v\n%s", args, err, b)
		}
		return string(b)
	}
	show := fmt.Sprintf("stty raw -echo; cat %s; tmux -S %s wait-for -S shown; exec sleep 1000", file, sock)
	tmux("-u", "set", "-g", "status", "off", ";", "set", "-g", "escape-time", "0", ";",
		"new-session", "-d", "-x", fmt.Sprint(testCols), "-y", fmt.Sprint(testRows), show)
	defer tmux("kill-server")
	tmux("wait-for", "shown")
	state := tmux("display-message", "-p", "#{cursor_x},#{cursor_y} alternate=#{alternate_on} cursor=#{cursor_flag} insert=#{insert_flag} "+
		"keypad=#{keypad_flag}#{keypad_cursor_flag} mouse=#{mouse_any_flag}#{mouse_button_flag}#{mouse_standard_flag}#{mouse_sgr_flag} "+
		"origin=#{origin_flag} wrap=#{wrap_flag} region=#{scroll_region_upper}-#{scroll_region_lower} title=#{pane_title}")
	// What tmux tells differs in colours of blanks that nobody can see: a terminal has its say on that.
	seen := vt.New(testCols, testRows)
	_, _ = seen.Write([]byte(strings.ReplaceAll(strings.TrimSuffix(tmux("capture-pane", "-p", "-e", "-N"), "\n"), "\n", "\r\n")))
	return strings.ReplaceAll(string(seen.Screen()), "H\x1b[", "H\n\x1b[") + "\n" + state
}

// TestScreenOfRealPrograms records vim, tmux, less and a shell on a real PTY, and looks with another terminal emulator
// (tmux) whether the bytes of Screen show what the whole output shows; also after leaving the alternate screen.
func TestScreenOfRealPrograms(t *testing.T) {
	t.Parallel()
	need(t, "vim", "tmux", "bash")
	source, err := filepath.Abs("journal.go")
	if err != nil {
		t.Fatal(err)
	}
	sock := filepath.Join(t.TempDir(), "inner")
	bash := []string{"bash", "--norc", "--noprofile"}
	for name, tc := range map[string]struct {
		argv []string
		keys []string
	}{
		"vim": {
			[]string{"vim", "-Nu", "NONE", "-n", "--cmd", "syntax on | set title mouse=a number hlsearch", source},
			[]string{"/func\r", "\x04\x04", "iinserted 漢字 text\x1b", ":split\r", "zt5\x05"},
		},
		"vim in insert mode": {[]string{"vim", "-Nu", "NONE", "-n", source}, []string{"5\x05", "Onew line", "\r\r  and more"}},
		"shell":              {bash, []string{"ls --color=always -la\r", "printf '\\e[1;4;35mstyled\\e[0m\\n'\r", "echo half a li"}},
		"vim inside a shell": {bash, []string{"seq 100\r", "vim -Nu NONE -n " + source + "\r", "\x06\x06"}},
		"vim left":           {bash, []string{"seq 30\r", "vim -Nu NONE -n " + source + "\r", "\x06", ":q!\r", "echo back\r"}},
		"tmux": {
			[]string{"tmux", "-u", "-S", sock, "-f", "/dev/null", "new-session", "bash --norc --noprofile"},
			[]string{"seq 50\r", "\x02%", "ls --color=always\r", "\x02\"", "vim -Nu NONE -n " + source + "\r", "\x02o"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := drive(t, tc.argv, tc.keys...)
			if tc.argv[0] == "tmux" {
				defer exec.Command("tmux", "-S", sock, "kill-server").Run()
			}
			screen := screenOf(t, out)
			if got, want := tmuxSees(t, screen), tmuxSees(t, out); got != want {
				t.Errorf("Screen shows (+) other than the whole output (-):\n%s", cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
			}
			leave := []byte("\x1b[?1049l\x1b[0mafter")
			if !strings.Contains(tmuxSees(t, out), "alternate=1") {
				leave = []byte("\x1b[0mafter")
			}
			if got, want := tmuxSees(t, screen, leave), tmuxSees(t, out, leave); got != want {
				t.Errorf("after leaving the alternate screen (+ Screen, - output):\n%s", cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
			}
			// In the middle of things, and on from there.
			for _, cut := range []int{len(out) / 3, len(out) / 2, len(out) - 7} {
				if got, want := tmuxSees(t, screenOf(t, out[:cut]), out[cut:]), tmuxSees(t, out); got != want {
					t.Errorf("Screen at byte %d of %d and the rest (+), output (-):\n%s", cut, len(out), cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
				}
			}
		})
	}
}

// screenOf records output and gives its screen.
func screenOf(t *testing.T, out []byte) []byte {
	t.Helper()
	d := openDir(t, t.TempDir())
	org, id := sess.NewOrgID(), sess.NewSessionID()
	j, err := d.Open(org, id, recording.Meta{Kind: sess.KindShell, Cols: testCols, Rows: testRows})
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(out); at += 1000 {
		appendData(t, j, sess.SideAgent, 1, uint64(at), out[at:min(at+1000, len(out))])
	}
	screen, err := d.Screen(org, id)
	if err != nil {
		t.Fatal(err)
	}
	return screen
}

// TestScreenOfLongRecording has a mode set and a title long before the part that is replayed in full.
func TestScreenOfLongRecording(t *testing.T) {
	t.Parallel()
	if underRace {
		t.Skip("megabytes through a terminal, in one goroutine")
	}
	d := openDir(t, t.TempDir())
	org, id := sess.NewOrgID(), sess.NewSessionID()
	j, err := d.Open(org, id, recording.Meta{Kind: sess.KindShell, Cols: 80, Rows: 24})
	if err != nil {
		t.Fatal(err)
	}
	var at uint64
	out := func(p []byte) {
		for len(p) > 0 {
			n := min(len(p), 30000)
			appendData(t, j, sess.SideAgent, 1, at, p[:n])
			at, p = at+uint64(n), p[n:]
		}
	}
	out([]byte("\x1b[?1049h\x1b[?2004h\x1b[?1h\x1b]2;a title\a"))
	out(bytes.Repeat([]byte("line after line\r\n"), 3*recording.ScreenBytes/17))
	out([]byte("\x1b[2J\x1b[Hhere"))
	screen, err := d.Screen(org, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\x1b[?1049h", "\x1b[?2004h", "\x1b[?1h", "a title", "here"} {
		if !bytes.Contains(screen, []byte(want)) {
			t.Errorf("Screen = %q, lacks %q", screen, want)
		}
	}
	fresh := vt.New(80, 24)
	_, _ = fresh.Write(screen)
	if fresh.Title() != "a title" {
		t.Errorf("title = %q", fresh.Title())
	}
}

// TestAsciinemaTakesTheCast gives an exported recording to the real asciinema.
func TestAsciinemaTakesTheCast(t *testing.T) {
	t.Parallel()
	need(t, "asciinema")
	file := filepath.Join(t.TempDir(), "session.cast")
	var b bytes.Buffer
	if err := recording.ExportCast(shellScript(t), &b, recording.CastOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got := drive(t, []string{"asciinema", "cat", file})
	if !strings.Contains(string(got), "$ a <b> 漢") || !strings.Contains(string(got), "red") {
		t.Errorf("asciinema cat = %q", got)
	}
}
