package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
)

// out checks that somebody's sessctl ended with an error, and what it said.
func (s *seat) out(why string) {
	s.t.Helper()
	if s.leave() == 0 {
		s.t.Errorf("left with 0; the screen:\n%s", s.text())
	}
	s.see(why)
}

// TestShareEnds: whoever is in a session by a share has to go when its time is over, when it is taken back, and when they are put
// out; who is there by another right stays.
func TestShareEnds(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.shell(t)
	id := w.live(t, s)
	short, back, kicked := w.somebody(t, "operator"), w.somebody(t, "operator"), w.somebody(t, "operator")
	share := func(o *other, ttl string) {
		t.Helper()
		if err := w.do("session", "share", id, "--with", o.name, "--role", "observer", "--ttl", ttl); err != nil {
			t.Fatal(err)
		}
	}
	share(back, "1h")
	share(kicked, "1h")
	admin, second, third := w.sit(t, "join", id, "--observe"), back.sit(t, "join", id, "--observe"), kicked.sit(t, "join", id, "--observe")
	for _, o := range []*seat{admin, second, third} {
		o.see("p>")
	}
	began := time.Now()
	share(short, "5s")
	first := short.sit(t, "join", id, "--observe")
	first.see("p>")
	list, err := get[[]api.Session](w, "session", "list")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range list {
		if string(x.ID) == id && (len(x.Participants) != 4 || x.Connected != 5) {
			t.Errorf("the list: %d connected, participants %+v", x.Connected, x.Participants)
		}
	}
	first.out("the right to this session was taken away")
	if d := time.Since(began); d < 5*time.Second || d > 15*time.Second {
		t.Errorf("a share for 5s lasted %s", d)
	}
	if a := short.do("join", id, "--observe"); a.code != 6 {
		t.Errorf("after the share ran out: %+v", a)
	}
	if err := w.do("session", "unshare", id, back.name); err != nil {
		t.Fatal(err)
	}
	second.out("the right to this session was taken away")
	if err := w.do("session", "kick", id, kicked.name, "--reason", "lunch"); err != nil {
		t.Fatal(err)
	}
	third.out("you were put out of the session by " + adminEmail + ": lunch")
	for _, o := range []*other{back, kicked} {
		if a := o.do("join", id, "--observe"); a.code != 6 {
			t.Errorf("%s once more: %+v", o.name, a)
		}
		if a := o.do("session", "list", "--shared"); a.code != 0 || len(a.out) != 0 {
			t.Errorf("shared with %s still: %+v", o.name, a)
		}
	}
	s.typ("clear; echo go''es on\r")
	admin.see("goes on")
	s.typ("exit\r")
	s.exits(0)
	admin.exits(0)
}

// TestKickByNumber: of several the owner says whom, by number; a wrong one or none puts nobody out.
func TestKickByNumber(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.shell(t)
	id := w.live(t, s)
	var names []string
	var seats []*seat
	for range 2 {
		o := w.somebody(t, "operator")
		if err := w.do("session", "share", id, "--with", o.name); err != nil {
			t.Fatal(err)
		}
		seat := o.sit(t, "join", id)
		seat.see("p>")
		s.see(o.name + " joined, and may type")
		names, seats = append(names, o.name), append(seats, seat)
	}
	for _, x := range [][2]string{{"\r", "nobody was put out"}, {"\x03", "nobody was put out"}, {"77\r", "is not in the session"}} {
		s.typ("clear\r")
		s.until("the screen is clear", func() bool { return s.text() == "p>" })
		s.typ("\r~k")
		s.see("put out whom?")
		s.typ(x[0])
		s.see(x[1])
	}
	s.typ("clear\r")
	s.until("the screen is clear", func() bool { return s.text() == "p>" })
	s.typ("\r~k")
	s.see("2  " + names[1] + ", peer")
	s.typ("2\r")
	seats[1].out("you were put out of the session by " + adminEmail)
	seats[0].typ("clear; echo still he''re\r")
	s.see("still here")
	s.typ("exit\r")
	s.exits(0)
	seats[0].exits(0)
}

// TestWatchExec: a command without a terminal can be watched, from where it is; nobody joins its input.
func TestWatchExec(t *testing.T) {
	t.Parallel()
	w := commons(t)
	reason := t.Name()
	done := make(chan answer, 1)
	go func() {
		done <- w.ask(strings.NewReader(""), "exec", "--reason", reason, "web-1", "--", "bash", "-c", "for i in $(seq 40); do echo out $i; echo err $i >&2; sleep 0.1; done; exit 3")
	}()
	id := w.sessionFor(t, reason)
	if a := w.ask(nil, "join", id); a.code == 0 || !strings.Contains(string(a.err), "without a terminal") && !strings.Contains(string(a.err), "this needs a terminal") {
		t.Errorf("to type: %+v", a)
	}
	seen := w.ask(nil, "join", id, "--observe")
	if a := <-done; a.code != 3 {
		t.Errorf("the owner's: exit %d: %s", a.code, a.err)
	}
	if seen.code != 0 || !regexp.MustCompile(`(?s)out \d+\n.*out 40\n$`).Match(seen.out) || !strings.Contains(string(seen.err), "err 40\n") || !strings.Contains(string(seen.err), "ended with status 3") {
		t.Errorf("seen: %+v", seen)
	}
	lines := strings.Split(strings.TrimSpace(string(seen.out)), "\n")
	for i, l := range lines {
		if want := fmt.Sprintf("out %d", 41-len(lines)+i); l != want {
			t.Errorf("line %d is %q, want %q", i, l, want)
			break
		}
	}
}

// TestWatchedExecReachesNothingButTheScreen: what a command writes to have a terminal answer does not have that of who watches it
// answer, and its lines are lines there.
func TestWatchedExecReachesNothingButTheScreen(t *testing.T) {
	t.Parallel()
	w := commons(t)
	reason := t.Name()
	done := make(chan answer, 1)
	go func() {
		done <- w.ask(strings.NewReader(""), "exec", "--reason", reason, "web-1", "--", "sh", "-c",
			`for i in $(seq 30); do printf 'out \033[6n\033]52;c;cm0=\007%d\n' $i; printf 'err \033[c%d\n' $i >&2; sleep 0.1; done`)
	}()
	o := w.sit(t, "join", w.sessionFor(t, reason), "--observe")
	o.until("each line begins in the first column", func() bool {
		return strings.Contains("\n"+o.text(), "\nout 30\n") && strings.Contains("\n"+o.text(), "\nerr 30\n")
	})
	a := <-done
	for _, hostile := range []string{"\x1b[6n", "\x1b]52", "\x1b[c"} {
		if !strings.Contains(string(a.out)+string(a.err), hostile) {
			t.Errorf("the command did not write %q", hostile)
		}
		if strings.Contains(string(o.bytes()), hostile) {
			t.Errorf("who watches was written %q", hostile)
		}
	}
}

// TestObserverIsTold: who types where nobody takes it is told so, once, and nothing of that stays on the screen.
func TestObserverIsTold(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.shell(t)
	id := w.live(t, s)
	o := w.sit(t, "join", id, "--observe")
	o.see("p>")
	s.typ("clear; vim -u NONE -i NONE -n --cmd 'set nocompatible laststatus=2 number'\r")
	s.see("VIM - Vi IMproved")
	same(t, o, s)
	o.typ("hello")
	o.see("you are here as observer: what you type goes nowhere")
	same(t, o, s)
	o.typ("once more")
	s.typ("iab\x1b")
	s.see("ab")
	same(t, o, s)
	if n := strings.Count(string(o.bytes()), "goes nowhere"); n != 1 {
		t.Errorf("told %d times", n)
	}
	o.typ("\r~w")
	o.see("in this session:")
	o.see("owner      " + adminEmail)
	if strings.Contains(s.text(), "in this session") {
		t.Error("the owner sees what the guest asked for")
	}
	same(t, o, s)
	s.typ(":q!\r")
	s.until("vim is gone", func() bool { return strings.Contains(s.text(), "p>") && !strings.Contains(s.text(), "[No Name]") })
	s.typ("exit\r")
	s.exits(0)
	o.exits(0)
}

// TestConnectionLimitOfGuests: whoever is at as many sessions as they may is told which, and what to do.
func TestConnectionLimitOfGuests(t *testing.T) {
	t.Parallel()
	w := commons(t)
	if err := w.do("role", "create", "one-at-a-time", "--allow", "session:start", "--max-connections", "1"); err != nil {
		t.Fatal(err)
	}
	one, two := w.shell(t), w.shell(t)
	first, second := w.live(t, one), w.live(t, two)
	ann := w.somebody(t, "operator")
	if err := w.do("grant", "add", "--user", ann.name, "--role", "one-at-a-time"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{first, second} {
		if err := w.do("session", "share", id, "--with", ann.name, "--role", "observer"); err != nil {
			t.Fatal(err)
		}
	}
	o := ann.sit(t, "join", first, "--observe")
	o.see("p>")
	a := ann.do("join", second, "--observe")
	if a.code != 1 {
		t.Errorf("exit %d", a.code)
	}
	for _, word := range []string{"you are connected to 1 session, and the role one-at-a-time allows 1 at a time: " + first + " (shell of " + adminEmail + " on web-1)", "leave one of them first, by ~. in it"} {
		if !strings.Contains(string(a.err), word) {
			t.Errorf("%q does not say %q", a.err, word)
		}
	}
	o.typ("\r~.")
	o.exits(0)
	one.see(ann.name + " left")
	again := ann.sit(t, "join", second, "--observe")
	again.see("p>")
	for _, s := range []*seat{one, two} {
		s.typ("exit\r")
		s.exits(0)
	}
	again.exits(0)
}
