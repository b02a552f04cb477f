package agent

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessctl/sess/internal/agent/pty"
	"github.com/sessctl/sess/internal/sess"
)

// desk is a terminal with nobody behind it: the test plays the program.
type desk struct {
	*pty.PTY
	record  bytes.Buffer
	echoes  *echoes
	reading sync.WaitGroup
	mu      sync.Mutex
	out     []byte
}

func (d *desk) Input() io.Writer { return d.Master }

// sitDown opens a terminal and reads what comes out of it.
func sitDown(t *testing.T) *desk {
	t.Helper()
	p, err := pty.Open(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{PTY: p}
	d.echoes = &echoes{p: d, to: &d.record, wait: 5 * time.Second}
	d.reading.Go(func() {
		r, b := d.echoes.output(p.Master), make([]byte, 4096)
		for {
			n, err := r.Read(b)
			d.mu.Lock()
			d.out = append(d.out, b[:n]...)
			d.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(d.leave)
	return d
}

func (d *desk) leave() {
	d.Close()
	d.reading.Wait()
}

func (d *desk) typ(t *testing.T, num uint16, text string) {
	t.Helper()
	if _, err := d.echoes.input(num).Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// shows waits for output.
func (d *desk) shows(t *testing.T, text string) {
	t.Helper()
	eventuallyShown(t, text, func() string {
		d.mu.Lock()
		defer d.mu.Unlock()
		return string(d.out)
	})
}

func eventuallyShown(t *testing.T, text string, shown func() string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(shown(), text); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("there is no %q in %q", text, shown())
		}
	}
}

// kept gives what is on record, by participant.
func (d *desk) kept(t *testing.T) map[uint16]string {
	t.Helper()
	d.echoes.mu.Lock()
	defer d.echoes.mu.Unlock()
	all := map[uint16]string{}
	for line := range bytes.Lines(d.record.Bytes()) {
		var e sess.EchoedLine
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		all[e.Participant] += string(e.Typed)
	}
	return all
}

// modes changes those of the terminal, as a program does.
func (d *desk) modes(t *testing.T, change func(*unix.Termios)) {
	t.Helper()
	rc, err := d.Slave.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = rc.Control(func(fd uintptr) {
		var modes *unix.Termios
		if modes, err = unix.IoctlGetTermios(int(fd), unix.TCGETS); err == nil {
			change(modes)
			err = unix.IoctlSetTermios(int(fd), unix.TCSETS, modes)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (d *desk) echo(t *testing.T, on bool) {
	t.Helper()
	d.modes(t, func(m *unix.Termios) {
		if m.Lflag &^= unix.ECHO; on {
			m.Lflag |= unix.ECHO
		}
	})
}

func TestEchoedInputIsKept(t *testing.T) {
	d := sitDown(t)
	d.typ(t, 0, "ls -l\r")
	d.shows(t, "ls -l\r\n")
	d.typ(t, 3, "mine ä\x7f\x15\t")
	d.typ(t, 3, "\x1b[A\r")
	d.shows(t, "^[[A")
	d.echo(t, false)
	d.typ(t, 0, "secret\r")
	d.typ(t, 3, "s")
	d.echo(t, true)
	d.typ(t, 0, "done\x04")
	d.shows(t, "done")
	eventuallyShown(t, "done\x04", func() string { return d.kept(t)[0] })
	if got := d.kept(t); got[0] != "ls -l\rdone\x04" || got[3] != "mine ä\x7f\x15\t\x1b[A\r" {
		t.Errorf("kept %v", got)
	}
}

// TestEchoSwitchedOffWhileTyping switches ECHO off and on all the time while somebody types: whatever the kernel did not show
// is not kept, whenever it was that we looked.
func TestEchoSwitchedOffWhileTyping(t *testing.T) {
	d := sitDown(t)
	d.echoes.wait = 3 * time.Millisecond
	d.modes(t, func(m *unix.Termios) { m.Lflag &^= unix.ICANON | unix.ISIG; m.Oflag &^= unix.OPOST })
	stop := make(chan struct{})
	var program sync.WaitGroup
	program.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				d.echo(t, i%2 == 0)
			}
		}
	})
	program.Go(func() { _, _ = io.Copy(io.Discard, d.Slave) })
	const words = 2000
	for i := range words {
		d.typ(t, 0, fmt.Sprintf("<%05d>\n", i))
		for waits := true; waits; <-time.After(50 * time.Microsecond) {
			d.echoes.mu.Lock()
			d.echoes.match()
			waits = len(d.echoes.queue) > 0
			d.echoes.mu.Unlock()
		}
	}
	close(stop)
	d.echo(t, true)
	d.typ(t, 0, "\nthe end\n")
	d.shows(t, "the end")
	d.leave()
	program.Wait()
	kept := d.kept(t)[0]
	shown, n := 0, 0
	for i := range words {
		word := fmt.Sprintf("<%05d>", i)
		echoed := bytes.Contains(d.out, []byte(word))
		if echoed {
			shown++
		}
		if strings.Contains(kept, word) {
			if n++; !echoed {
				t.Errorf("%s was kept and not shown", word)
			}
		}
	}
	t.Logf("%d words: %d shown, %d kept", words, shown, n)
	if shown == 0 || shown == words || n < shown/20 {
		t.Errorf("of %d words %d were shown and %d kept: this tests nothing", words, shown, n)
	}
}

// TestEchoSwitchedOffByTheLine: a program that has its line and switches ECHO off at once, as login does before it asks for the
// password, takes nothing from the record of what was shown.
func TestEchoSwitchedOffByTheLine(t *testing.T) {
	d := sitDown(t)
	const lines = 200
	var program sync.WaitGroup
	defer func() { d.leave(); program.Wait() }()
	program.Go(func() {
		for r := bufio.NewReader(d.Slave); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			d.echo(t, false)
			time.Sleep(time.Millisecond) //nolint:forbidigo // as long as a password takes
			d.echo(t, true)
			if _, err := d.Slave.WriteString("hello " + line); err != nil {
				return
			}
		}
	})
	want := ""
	for i := range lines {
		name := fmt.Sprintf("name %d", i)
		d.typ(t, 0, name+"\r")
		d.shows(t, "hello "+name+"\r\n")
		want += name + "\r"
	}
	d.typ(t, 0, "end")
	eventuallyShown(t, "end", func() string { return d.kept(t)[0] })
	if got := d.kept(t)[0]; got != want+"end" {
		t.Errorf("kept %q", got)
	}
}

// TestEchoIsNotGuessed: what comes out by itself is no echo, however alike; and what never comes is forgotten.
func TestEchoIsNotGuessed(t *testing.T) {
	d := sitDown(t)
	d.echo(t, false)
	if _, err := d.Slave.WriteString("swordfish"); err != nil {
		t.Fatal(err)
	}
	d.shows(t, "swordfish")
	d.typ(t, 0, "swordfish\r")
	if _, err := d.Slave.WriteString("swordfish again"); err != nil {
		t.Fatal(err)
	}
	d.shows(t, "again")
	// As if ECHO had been on whenever we looked, and off when the kernel took it up.
	d.echoes.mu.Lock()
	d.echoes.add(0, []byte("hunter2"), []byte("\r"), d.echoes.at)
	d.echoes.queue[0].until = time.Now()
	d.echoes.mu.Unlock()
	d.echo(t, true)
	d.typ(t, 0, "x")
	eventuallyShown(t, "x", func() string { return d.kept(t)[0] })
	if got := d.kept(t)[0]; got != "x" {
		t.Errorf("kept %q", got)
	}
}

// TestMuchInputIsNotWaitedFor: what nobody reads neither piles up nor holds anything up.
func TestMuchInputIsNotWaitedFor(t *testing.T) {
	d := sitDown(t)
	d.typ(t, 0, strings.Repeat("abcdefg\n", 500))
	d.shows(t, strings.Repeat("abcdefg\r\n", 200))
	d.echoes.mu.Lock()
	size, tail := d.echoes.size, len(d.echoes.tail)
	d.echoes.mu.Unlock()
	if size > maxTyped || tail > maxEchoed {
		t.Errorf("%d bytes wait, %d of output are held", size, tail)
	}
}
