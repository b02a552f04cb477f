package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// fill leaves no space in a directory, and gives what makes space again.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	name := dir + "/filler"
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for n := 64 << 10; n > 0; {
		if _, err := f.Write(make([]byte, n)); errors.Is(err, syscall.ENOSPC) {
			n /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiskFull fills the disk of the recordings under two sessions: the one that runs only with a recording ends and says why,
// and everything it showed is on record; the other goes on, and its recording says what is missing. When there is space
// again both recordings are closed.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	w := testWorld(t, "web-1")
	dir := w.path("data", "recordings")
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=6m,mode=700"); err != nil {
		t.Skipf("no small disk can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	const script = `echo ready; while read -r n; do seq -f "line %g of what fills the disk" 1 "$n"; echo "that was $n"; done`

	lenient := w.sit(t, "start", "web-1", "--", "sh", "-c", script)
	lenient.see("ready")
	lenient.typ("10\r")
	lenient.see("that was 10")
	if err := w.do("org", "set", "session-recording", "strict"); err != nil {
		t.Fatal(err)
	}
	strict := w.sit(t, "start", "web-1", "--", "sh", "-c", script)
	strict.see("ready") // the terminal is raw by then
	strict.typ("20\r")
	strict.see("that was 20")
	lenientID, strictID := w.live(t, lenient), w.live(t, strict)

	empty := fill(t, dir)
	strict.typ("50000\r")
	strict.exits(255)
	strict.see("no space left on device")
	w.ended(t, strictID, sess.EndRecording)
	lenient.typ("50001\r")
	lenient.see("that was 50001")

	a := w.ask(nil, "exec", "web-1", "--", "true")
	if a.code != 255 || !bytes.Contains(a.err, []byte("can't be recorded")) || !bytes.Contains(a.err, []byte("organisation")) {
		t.Errorf("a strict start on a full disk: exit %d: %s", a.code, a.err)
	}
	if err := w.do("org", "set", "session-recording", "default"); err != nil {
		t.Fatal(err)
	}
	if a := w.ask(nil, "exec", "web-1", "--", "echo", "works"); a.code != 0 || string(a.out) != "works\n" {
		t.Errorf("another start on a full disk: exit %d: %s%s", a.code, a.out, a.err)
	}

	empty()
	time.AfterFunc(2*time.Second, func() { lenient.typ("30\r") }) // it tries again once a second
	lenient.see("that was 30")
	lenient.typ("\x04")
	lenient.exits(0)
	closed := func(id string) (r api.Recording) {
		err := pollFor(time.Minute, "the recording of "+id+" is closed", func() (err error) {
			if r, err = get[api.Recording](w, "recording", "show", id); err == nil && r.Digest == "" {
				err = fmt.Errorf("it is %+v", r)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := closed(lenientID); r.State != sess.RecordingIncomplete || !strings.Contains(r.Problem, "no space left on device") {
		t.Errorf("the recording of the session that went on: %+v", r)
	}
	text := w.ask(nil, "recording", "export", lenientID, "--format", "text").out
	for _, part := range []string{"that was 10\n", "that was 30\n"} {
		if !bytes.Contains(text, []byte(part)) {
			t.Errorf("its recording lacks %q", part)
		}
	}
	closed(strictID)
	text = w.ask(nil, "recording", "export", strictID, "--format", "text").out
	shown := strings.Split(strings.ReplaceAll(string(strict.bytes()), "\r", ""), "sessctl: ")[0]
	last := strings.LastIndex(shown[:len(shown)-1], "\n")
	if !strings.Contains(string(text), shown[:last]) {
		t.Errorf("%q was shown, and %q is on record", shown, text)
	}
}
