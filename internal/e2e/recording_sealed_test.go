package e2e

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestScreenWithoutAHistory: where the server can't read what it recorded, or keeps nothing, whoever comes late sees the exact
// screen all the same, what was drawn before anything that is still in the ring too; also after the server was killed.
// Nothing of it is left at the end.
func TestScreenWithoutAHistory(t *testing.T) {
	t.Parallel()
	w := testWorld(t, "web-1")
	key, public, err := ageKey("")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path("key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	type live struct {
		mode  string
		owner *seat
		id    string
	}
	var all []*live
	for _, set := range [][]string{{"recording-recipients", public}, {"session-recording", "off"}} {
		if err := w.do(append([]string{"org", "set"}, set...)...); err != nil {
			t.Fatal(err)
		}
		s := w.shell(t)
		l := &live{mode: set[0], owner: s, id: w.live(t, s)}
		all = append(all, l)
		s.typ("clear; printf '\\e]2;the ti''tle\\a\\e[2J\\e[2;5H\\e[1;31mdrawn lo''ng ago\\e[0m\\e[10;1H'; yes 'a piece' | head -c 5000000 | tr '\\n' '\\r'; printf '\\e[20;1Hdo''ne\\n'\r")
	}
	ann := w.somebody(t, "operator")
	join := func(l *live) *seat {
		if err := w.do("session", "share", l.id, "--with", ann.name, "--role", "observer"); err != nil {
			t.Fatal(err)
		}
		g := ann.sit(t, "join", l.id, "--observe")
		g.see("drawn long ago")
		return g
	}
	var stay []*seat
	for _, l := range all {
		l.owner.see("done")
		want := l.owner.picture() // later it has lines about who is there
		g := join(l)
		g.until(l.mode+": the guest sees what the owner saw", func() bool { return g.picture() == want })
		stay = append(stay, g)
	}
	if err := w.stopServer(9); err != nil {
		t.Fatal(err)
	}
	if err := w.startServer(); err != nil {
		t.Fatal(err)
	}
	for i, l := range all { // they are back
		l.owner.typ("printf '\\e[22;1Hba''ck\\n'\r")
		stay[i].see("back")
		stay[i].see("drawn long ago")
		same(t, join(l), stay[i])
	}
	for _, l := range all {
		taken := w.sit(t, "attach", l.id)
		taken.see("drawn long ago")
		taken.see("back")
		if taken.title != "the title" {
			t.Errorf("%s: the title is %q", l.mode, taken.title)
		}
		taken.typ("exit\r")
		taken.exits(0)
		state := map[string]string{"recording-recipients": "complete", "session-recording": "off"}[l.mode]
		if err := poll("the recording is "+state, func() error { return w.recordingIs(l.id, state) }); err != nil {
			t.Error(err)
		}
	}
	w.nowhere(t, "drawn long ago", "a piece\ra piece", "the title")
	a := w.ask(nil, "recording", "play", all[0].id, "--identity", w.path("key"), "--as", "text")
	if a.code != 0 || !bytes.Contains(a.out, []byte("drawn lo''ng ago")) { // as it was typed
		t.Errorf("play: exit %d, %.300q %s", a.code, a.out, a.err)
	}
}

// recordingIs says that the recording of a session is in another state.
func (w *world) recordingIs(id, state string) error {
	r, err := get[struct{ State string }](w, "recording", "show", id)
	if err == nil && r.State != state {
		err = errState(r.State)
	}
	return err
}

type errState string

func (e errState) Error() string { return "it is " + string(e) }

// nowhere looks into every file of the server's.
func (w *world) nowhere(t *testing.T, words ...string) {
	t.Helper()
	err := filepath.WalkDir(w.path("data"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, word := range words {
			if bytes.Contains(b, []byte(word)) {
				t.Errorf("%s holds %q", path, word)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPassphraseOfIdentity: a key that a passphrase protects asks for it, at a terminal only.
func TestPassphraseOfIdentity(t *testing.T) {
	t.Parallel()
	w := testWorld(t, "web-1")
	key, public, err := ageKey("nine grey herons")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path("key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.do("org", "set", "recording-recipients", public); err != nil {
		t.Fatal(err)
	}
	if err := w.do("exec", "--reason", "locked", "web-1", "--", "echo", "read by", "few"); err != nil {
		t.Fatal(err)
	}
	id := w.sessionFor(t, "locked")
	if err := poll("it is complete", func() error { return w.recordingIs(id, "complete") }); err != nil {
		t.Fatal(err)
	}
	for _, try := range []struct {
		word, want string
		code       int
	}{{"nine grey geese", "passphrase is wrong", 1}, {"nine grey herons", "read by few", 0}} {
		s := w.sit(t, "recording", "play", id, "--identity", w.path("key"), "--as", "text")
		s.see("Passphrase of ")
		s.typ(try.word + "\r")
		s.see(try.want)
		s.exits(try.code)
		if bytes.Contains(s.bytes(), []byte(try.word)) {
			t.Error("the passphrase is echoed")
		}
	}
}
