//go:build unix

package cli

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// What --watch shows on a terminal begins with the newest, however much there is, and takes nothing away that scrolled off before.
func TestWatchOnAScreenTooSmall(t *testing.T) {
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(tty, &pty.Winsize{Cols: 80, Rows: 10}); err != nil {
		t.Fatal(err)
	}
	a := &app{in: tty, out: tty, err: tty, now: time.Now}
	l := &lister[int]{head: []string{"N"}, row: func(n int) []string { return []string{fmt.Sprintf("row-%d", n)} }}
	items := make([]int, 50)
	for i := range items {
		items[i] = i
	}
	shown := make(chan string)
	go func() {
		var b strings.Builder
		_, _ = io.Copy(&b, ptmx) // until the other end is closed
		shown <- b.String()
	}()
	if _, err := l.changed(a, items, ""); err != nil {
		t.Fatal(err)
	}
	_ = tty.Close()
	got := <-shown
	_ = ptmx.Close()
	if lines := strings.Count(got, "\n"); lines > 9 || !strings.Contains(got, "row-0\r\n") || !strings.HasSuffix(got, "and 44 more\r\n") {
		t.Errorf("%d lines: %q", lines, got)
	}
	if strings.Contains(got, "\x1b[3J") {
		t.Errorf("the scrollback is cleared: %q", got)
	}
}
