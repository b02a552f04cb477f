package identity_test

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// No secret that was made or typed is in the database's files, in an error, or in the log: as it is, or as hex or base64.
func TestNoSecretIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := storetest.Open(t, store.Config{Dir: dir})
	w := newWorld(t, db)
	admin := w.admin()
	void, _, err := w.AdminLink(t.Context(), "", "bob@example.com", false)
	if err != nil {
		t.Fatal(err)
	}
	w.secret(void)
	w.machine(admin, "ci", "")
	tok := w.token(admin, 1, nil)
	w.enrol(tok.Secret, "web-1")
	unused := w.token(admin, 1, nil)
	must[api.LoginOut](w, "login")(w.login(adminEmail, adminPassword, home))

	w.secret(w.invited(admin, "zoe@example.com"))
	temporary := inviteIn("tom@example.com", "")
	temporary.Body.Temporary = true
	given := must[api.InviteOut](w, "invite")(w.InviteUser(t.Context(), admin, temporary))
	tom := w.who(must[api.LoginOut](w, "login")(w.login("tom@example.com", w.secret(given.Password), home)).Token)
	w.wantCode("wrong guess", w.change(tom, w.secret("a wrong guess"), "five fat ferrets"), sess.CodeInvalid)
	if err := w.change(tom, given.Password, w.secret("five fat ferrets")); err != nil {
		t.Fatal(err)
	}
	reset := must[api.ResetOut](w, "reset")(w.ResetUser(t.Context(), admin, user("tom@example.com")))
	var again api.ResetIn
	again.Body.Token, again.Body.Password = w.tokenOf(reset.Link), w.secret("four fine finches")
	must[api.ResetDone](w, "reset")(w.ResetPassword(t.Context(), home, again))
	_, err = w.ResetPassword(t.Context(), home, again)
	w.wantCode("reset twice", err, sess.CodeExpired)

	hub := newHub(t)
	provider := w.setUp(admin, "hub", hub, nil)
	must[api.LoginOut](w, "log in by provider")(w.byProvider(provider))
	b := w.browser()
	w.send(b, w.authorize(b), "hub") // and stays there
	must[string](w, "claim")(w.ClaimDevice(t.Context(), b, w.device().UserCode))

	// What goes wrong, too.
	for _, typed := range []string{"my secret typed", "hunter2hunter2"} {
		w.secret(typed)
		_, _ = w.login(adminEmail, typed, home)
		_, _ = w.login(typed, adminPassword, home)
		_, _ = w.login(typed+"@example.com", adminPassword, home)
		_, _ = w.accept(typed, adminEmail, adminPassword, home)
		_, _ = w.accept(void, typed, adminPassword, home)
		_, _ = w.accept(void, "", typed[:3], home)
	}
	_, err = w.Enrol(t.Context(), home, enrolIn(t, tok.Secret, "web-2"))
	w.wantCode("second use", err, sess.CodeExpired)
	for _, s := range []string{unused.Secret, void, w.secrets[1] + "x", tok.Secret[:50]} {
		_, err := w.Authenticate(t.Context(), s, home)
		w.wantCode("authenticate", err, sess.CodeUnauthenticated)
		_, err = w.accept(s, adminEmail, "x", home)
		w.saw(err)
	}
	w.events(string(admin.Org)) // written out

	var kept strings.Builder
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		t.Fatalf("read %s: %d files, %v", dir, len(entries), err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		kept.Write(b)
	}
	if !strings.Contains(kept.String(), adminEmail) || !strings.Contains(kept.String(), sess.HashToken(tok.Secret)) {
		t.Fatal("this test does not see what the database keeps")
	}
	if len(w.secrets) < 8 {
		t.Fatalf("only %d secrets were made", len(w.secrets))
	}
	for place, text := range map[string]string{"the database": kept.String(), "an error": strings.Join(w.errors, "\n"), "the log": w.log.String()} {
		for _, s := range w.secrets {
			_, body, _ := strings.Cut(s, "_")
			for _, form := range []string{s, hex.EncodeToString([]byte(s)), base64.StdEncoding.EncodeToString([]byte(s)), body} {
				if len(form) > 10 && strings.Contains(text, form) {
					t.Errorf("%s holds the secret %s", place, s)
				}
			}
		}
	}
}
