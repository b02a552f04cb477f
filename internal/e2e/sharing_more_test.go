package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/api"
)

// TestPeer: two people type in one session, each attributed; the owner lists who is there and puts one out.
func TestPeer(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.shell(t)
	id := w.live(t, s)
	ann := w.somebody(t, "operator")
	link, err := get[api.Share](w, "session", "share", id, "--link", "--ttl", "10m")
	if err != nil || link.Link == "" {
		t.Fatalf("%+v, %v", link, err)
	}
	p := ann.sit(t, "accept", link.Link)
	p.see("p>")
	s.see(ann.name + " joined, and may type")
	if bob := w.somebody(t, "operator"); bob.do("accept", link.Link).code == 0 {
		t.Error("a link opened twice")
	}
	if eve := w.somebody(t, "auditor"); eve.do("join", id, "--observe").code != 5 {
		t.Error("an auditor joined")
	}
	p.typ("clear; echo fr''om ann\r")
	s.see("from ann")
	s.typ("clear; echo fr''om the owner\r")
	p.see("from the owner")
	s.typ("\r~w")
	s.see("in this session:")
	s.see("peer       " + ann.name)

	// Whoever is put out does not come back by what was shared.
	s.typ("\r~k")
	p.exits(5)
	p.see("you were put out of the session by " + adminEmail)
	if a := ann.do("join", id, "--observe"); a.code == 0 {
		t.Errorf("back again: %+v", a)
	}
	s.typ("clear; exit\r")
	s.exits(0)
	w.logged(t, id, "session:open-link allowed", "session:join allowed", "session:participant-joined allowed", "session:kick allowed", "session:participant-kicked allowed")
}

// TestConsent: support sees nothing before the owner says yes, and nothing at all after a no.
func TestConsent(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.shell(t)
	id := w.live(t, s)
	s.typ("clear; echo sec''ret\r")
	s.see("secret")
	helper := w.somebody(t, "support")
	ask := func() *seat { return helper.sit(t, "join", id, "--observe") }
	no := ask()
	s.see(helper.name + " asks to watch: ~y lets them in, ~n does not")
	no.see("is asked to let you in")
	s.typ("\r~n")
	no.exits(5)
	no.see("the owner of the session said no")
	if strings.Contains(string(no.bytes()), "secret") {
		t.Error("support saw the screen without consent")
	}
	s.typ("clear; echo once mo''re\r")
	s.see("once more")
	yes := ask()
	yes.see("is asked to let you in")
	s.see("asks to watch")
	s.typ("\r~y")
	s.see(helper.name + " is watching")
	yes.see("once more")
	s.typ("clear; exit\r")
	s.exits(0)
	yes.exits(0)
	w.logged(t, id, "session:ask allowed", "session:answer allowed", "session:participant-refused allowed", "session:participant-joined allowed")
}

// TestRevokedGuest: whoever loses the right to be there is cut off, and the owner is not.
func TestRevokedGuest(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.shell(t)
	id := w.live(t, s)
	ann := w.somebody(t, "operator")
	if err := w.do("session", "share", id, "--with", ann.name, "--role", "observer"); err != nil {
		t.Fatal(err)
	}
	p := ann.sit(t, "join", id, "--observe")
	p.see("p>")
	if err := w.do("user", "revoke", ann.name, "--yes"); err != nil {
		if err := w.do("user", "revoke", ann.name); err != nil {
			t.Fatal(err)
		}
	}
	if p.leave() == 0 {
		t.Error("no error")
	}
	s.typ("clear; echo still he''re\r")
	s.see("still here")
	s.typ("exit\r")
	s.exits(0)
}

// TestModerated: a session that needs a moderator begins when there is one, stands still when they leave, and goes on
// where it was.
func TestModerated(t *testing.T) {
	t.Parallel()
	w := commons(t)
	if err := w.do("role", "create", "watched", "--allow", "session:start", "--moderators", "1"); err != nil {
		t.Fatal(err)
	}
	ann := w.somebody(t, "watched")
	s := sitAt(t, ann.env(), 100, 30, filepath.Join(binaries, "sessctl"), "start", "--reason", t.Name(), "web-1", "--", "bash", "--norc", "--noprofile")
	s.see("waiting for a moderator")
	id := w.sessionFor(t, t.Name())
	s.typ("PS1='p'\"> \"; clear; echo ear''ly\r")
	m := w.sit(t, "join", id, "--moderate")
	m.see("early")
	s.see("early")
	m.typ("echo moderators do not type\r")
	m.typ("\r~.")
	m.exits(0)
	s.see("waiting for a moderator")
	s.typ("clear; echo whi''le away\r")
	again := w.sit(t, "join", id, "--moderate")
	again.see("while away")
	s.see("while away")
	if strings.Contains(s.text(), "do not type") {
		t.Error("a moderator typed")
	}
	again.typ("\r~x")
	if s.leave() == 0 {
		t.Error("a session that its moderator ended gives 0")
	}
	w.ended(t, id, "terminated")
	w.logged(t, id, "session:paused allowed", "session:continued allowed", "session:moderate allowed")
}

// TestStalledObserver: one who takes nothing holds up nobody, and sees the present screen when they are back.
func TestStalledObserver(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.shell(t)
	id := w.live(t, s)
	o := w.sit(t, "join", id, "--observe")
	o.see("p>")
	if err := exec.Command("kill", "-STOP", pid(o)).Run(); err != nil {
		t.Fatal(err)
	}
	s.typ("clear; head -c 20000000 /dev/zero | tr '\\0' x | fold -w 90; clear; echo do''ne\r")
	s.see("done")
	if err := exec.Command("kill", "-CONT", pid(o)).Run(); err != nil {
		t.Fatal(err)
	}
	o.see("done")
	same(t, o, s)
	s.typ("exit\r")
	s.exits(0)
	o.exits(0)
}

// TestLockPutsAGuestOut: a lock ends what somebody has in another's session, and nothing of that session.
func TestLockPutsAGuestOut(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.shell(t)
	id := w.live(t, s)
	ann := w.somebody(t, "operator")
	link, err := get[api.Share](w, "session", "share", id, "--with", ann.name)
	if err != nil {
		t.Fatalf("%+v, %v", link, err)
	}
	p := ann.sit(t, "join", id)
	p.see("p>")
	s.see(ann.name + " joined, and may type")
	lock, err := get[api.Lock](w, "lock", "add", "--user", ann.name, "--reason", "INC-8")
	if err != nil {
		t.Fatal(err)
	}
	p.exits(5)
	p.see("a lock put you out of the session: the user " + ann.name + " is locked: INC-8")
	s.see(ann.name + " was put out: the user " + ann.name + " is locked: INC-8")
	if a := ann.do("join", id, "--observe"); a.code != 5 || !strings.Contains(string(a.err), "you are locked out: INC-8") {
		t.Errorf("back again: %+v", a)
	}
	if err := w.do("lock", "remove", string(lock.ID)); err != nil {
		t.Fatal(err)
	}
	s.typ("clear; exit\r")
	s.exits(0)
}
