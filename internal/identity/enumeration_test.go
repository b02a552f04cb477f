package identity_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store/storetest"
)

// accounts makes one account of each kind there is, and gives their addresses, beside one that nobody has.
func (w *world) accounts(ada sess.Principal) map[string]string {
	w.t.Helper()
	out := map[string]string{"nobody": "nobody@example.com", "a member": adminEmail}
	w.join(ada, "off@example.com", sess.RoleOperator)
	if err := w.DeactivateUser(w.t.Context(), ada, user("off@example.com")); err != nil {
		w.t.Fatal(err)
	}
	w.join(ada, "gone@example.com", sess.RoleOperator)
	if err := w.DeleteUser(w.t.Context(), ada, user("gone@example.com")); err != nil {
		w.t.Fatal(err)
	}
	w.join(ada, "app@example.com", sess.RoleOperator)
	w.enrolled(w.who(must[api.LoginOut](w, "login")(w.login("app@example.com", bobPassword, home)).Token))
	w.invite(ada, "new@example.com", "")
	in := inviteIn("temp@example.com", "")
	in.Body.Temporary = true
	w.secret(must[api.InviteOut](w, "invite")(w.InviteUser(w.t.Context(), ada, in)).Password)
	h := newHub(w.t)
	must[api.LoginOut](w, "by a provider")(w.byProvider(w.setUp(ada, "hub", h, nil)))
	w.second()
	for what, name := range map[string]string{
		"deactivated": "off@example.com", "deleted": "gone@example.com", "with a second factor": "app@example.com", "invited": "new@example.com",
		"with a temporary password": "temp@example.com", "by a provider": h.email,
	} {
		out[what] = name
	}
	return out
}

// elsewhere gives an address that nobody has logged in from, another one each time.
func (w *world) elsewhere() netip.Addr {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	return netip.AddrFrom4([4]byte{203, 0, byte(w.asked >> 8), byte(w.asked)})
}

// What is answered to a stranger, and what it costs, is the same whether there is such an account or not, in whatever state:
// one password hash for each attempt, none for a forgotten password, and the same words.
func TestStrangersCantTellAccountsApart(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t)
	w, mailing := newWorld(t, db), worldWith(t, db, true)
	accounts := w.accounts(w.admin())
	ways := map[string]struct {
		hashes int64
		try    func(email string) error
	}{
		"login": {1, func(email string) error {
			_, err := w.login(email, "a wrong password", w.elsewhere())
			return err
		}},
		"login to an organisation": {1, func(email string) error {
			var in api.LoginIn
			in.Body.Email, in.Body.Password, in.Body.Org = email, "a wrong password", "acme"
			_, err := w.Login(t.Context(), w.elsewhere(), in)
			return w.saw(err)
		}},
		"browser": {1, func(email string) error {
			b := w.browser()
			b.Addr = w.elsewhere()
			_, err := w.FlowPassword(t.Context(), b, w.authorize(b), email, "a wrong password")
			return w.saw(err)
		}},
		"device": {1, func(email string) error {
			b := w.browser()
			b.Addr = w.elsewhere()
			flow := must[string](w, "claim")(w.ClaimDevice(t.Context(), b, w.device().UserCode))
			if err := w.ConfirmFlow(t.Context(), b, flow); err != nil {
				return err
			}
			_, err := w.FlowPassword(t.Context(), b, flow, email, "a wrong password")
			return w.saw(err)
		}},
		"forgot": {0, func(email string) error {
			var in api.ForgotIn
			in.Body.Email = email
			return w.saw(mailing.ForgotPassword(t.Context(), w.elsewhere(), in))
		}},
	}
	for way, c := range ways {
		w.pass(time.Hour)
		answers := map[string][]string{}
		for what, email := range accounts {
			for range 6 { // the last one meets a locked account
				before := w.HashCount()
				err := c.try(email)
				e := sess.Public(err)
				if err == nil {
					e = &sess.Error{}
				}
				answers[what] = append(answers[what], fmt.Sprintf("%s %s %s, %d hashes", e.Code, e.Message, e.Hint, w.HashCount()-before))
			}
		}
		for what, got := range answers {
			if fmt.Sprint(got) != fmt.Sprint(answers["nobody"]) {
				t.Errorf("%s, %s: %q, of nobody's account: %q", way, what, got, answers["nobody"])
			}
		}
		want := fmt.Sprintf(", %d hashes", c.hashes)
		if got := answers["nobody"][0]; got[len(got)-len(want):] != want {
			t.Errorf("%s: %q, want %s", way, got, want)
		}
	}
}

// BenchmarkRefusedLogin is what a wrong password costs beside the hash itself, which is the same for all and made cheap here: what
// is left for a stranger's clock to find out. docs/benchmarks.md has the figures.
//
//	go test ./internal/identity -run - -bench RefusedLogin -benchtime 2000x
func BenchmarkRefusedLogin(b *testing.B) {
	w := newWorld(b, storetest.SQLite(b))
	ada := w.admin()
	w.join(ada, bobEmail, sess.RoleOperator)
	for _, c := range []struct{ name, email string }{{"known", bobEmail}, {"unknown", "nobody@example.com"}, {"known again", bobEmail}, {"unknown again", "nobody@example.com"}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				w.pass(20 * time.Minute) // nothing is locked, and old failures go
				addr := w.elsewhere()
				b.StartTimer()
				if _, err := w.login(c.email, "a wrong password", addr); sess.Public(err).Code != sess.CodeUnauthenticated {
					b.Fatal(err)
				}
			}
		})
	}
}
