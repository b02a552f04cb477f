package identity_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

func TestFirstStart(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		first, ok, err := w.FirstStart(t.Context())
		if err != nil || !ok {
			t.Fatalf("FirstStart = %v, %v", ok, err)
		}
		if p, err := sess.ParseToken(first, sess.TokenInvite); err != nil || string(p.Pin) != string(pin) {
			t.Errorf("the invitation %v carries pin %x, %v", p, p.Pin, err)
		}
		// Not accepted: the next start makes a new link, and the old one is void.
		second, ok, err := w.FirstStart(t.Context())
		if err != nil || !ok || second == first {
			t.Fatalf("second FirstStart = %v, %v, the same token: %v", ok, err, second == first)
		}
		_, err = w.accept(first, adminEmail, adminPassword, home)
		w.wantCode("accept of the old link", err, sess.CodeExpired)
		_, err = w.accept(second, "", adminPassword, home)
		w.wantCode("accept without an address", err, sess.CodeInvalid)
		_, err = w.accept(second, adminEmail, "short", home)
		w.wantCode("accept with a bad password", err, sess.CodeInvalid)
		out := must[api.LoginOut](w, "accept")(w.accept(second, " Ada@Example.COM ", adminPassword, home))
		if out.Email != adminEmail || out.OrgName != "default" {
			t.Errorf("accept = %+v", out)
		}
		// Accepted: starts change nothing any more.
		if tok, ok, err := w.FirstStart(t.Context()); err != nil || ok || tok != "" {
			t.Errorf("third FirstStart = %q, %v, %v", tok, ok, err)
		}
		me := must[api.WhoamiOut](w, "whoami")(w.Whoami(t.Context(), w.who(out.Token)))
		if me.Name != adminEmail || len(me.Grants) != 1 || me.Grants[0] != (api.GrantOut{Role: sess.RoleAdmin}) || me.ExpiresAt == nil || !me.ExpiresAt.Equal(out.ExpiresAt) {
			t.Errorf("whoami = %+v", me)
		}
		w.wantEvent(out.Org, `"org:create"`)
		w.wantEvent(out.Org, `"accept"`, adminEmail)
	})
}

func TestFirstStartOfTwoServersAtOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		var wg sync.WaitGroup
		var mu sync.Mutex
		var tokens []string
		for range 4 {
			wg.Go(func() {
				token, ok, err := w.FirstStart(t.Context())
				if err != nil || !ok {
					t.Errorf("FirstStart = %v, %v", ok, err)
				}
				mu.Lock()
				defer mu.Unlock()
				tokens = append(tokens, token)
			})
		}
		wg.Wait()
		won := 0
		for _, token := range tokens {
			if _, err := w.accept(token, adminEmail, adminPassword, home); err == nil {
				won++
			}
		}
		if won != 1 {
			t.Errorf("%d of the links work, want 1", won)
		}
	})
}

// An invitation serves once, however many use it at the same moment.
func TestAcceptRace(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		token, _, err := w.FirstStart(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		var won []string
		for i := range 8 {
			wg.Go(func() {
				email := fmt.Sprintf("admin%d@example.com", i)
				_, err := w.accept(token, email, adminPassword, home)
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					won = append(won, email)
				} else if !errors.Is(err, sess.ErrExpired) {
					t.Errorf("accept = %v, want expired", err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("%d accepted one invitation", len(won))
		}
		must[api.LoginOut](w, "login")(w.login(won[0], adminPassword, home))
	})
}

func TestAcceptRunsOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	token, _, err := w.FirstStart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.pass(72*time.Hour + time.Second)
	_, err = w.accept(token, adminEmail, adminPassword, home)
	w.wantCode("accept after 72 h", err, sess.CodeExpired)
	for _, bad := range []string{"", "x", token[:30], strings.Repeat("a", 1<<16)} {
		_, err = w.accept(bad, adminEmail, adminPassword, home)
		w.wantCode("accept of nonsense", err, sess.CodeInvalid)
	}
	other, _ := sess.NewToken(sess.TokenInvite, nil)
	_, err = w.accept(other, adminEmail, adminPassword, home)
	w.wantCode("accept of a stranger's token", err, sess.CodeExpired)
	if n := w.HashCount(); n != 0 {
		t.Errorf("%d hashes were computed for invitations that do not work", n)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		admin := w.admin()
		out := must[api.LoginOut](w, "login")(w.login("ADA@example.com", adminPassword, home))
		if !out.ExpiresAt.Equal(w.clock().Add(24*time.Hour)) || out.Org != admin.Org || out.User != admin.User || out.Email != adminEmail {
			t.Errorf("login = %+v", out)
		}
		who := w.who(out.Token)
		if who.Credential != sess.CredentialLogin || who.Name != adminEmail || who.Addr != home || who.UserKind != sess.UserLocal {
			t.Errorf("principal = %+v", who)
		}
		if err := w.Logout(t.Context(), who); err != nil {
			t.Fatal(err)
		}
		_, err := w.Authenticate(t.Context(), out.Token, home)
		if e := w.wantCode("authenticate after logout", err, sess.CodeUnauthenticated); !strings.Contains(e.Hint, "sessctl login") {
			t.Errorf("hint = %q", e.Hint)
		}
		if len(w.revoked) != 1 || w.revoked[0] != who.CredentialID {
			t.Errorf("revoked = %v, want %s", w.revoked, who.CredentialID)
		}
		w.who(must[api.LoginOut](w, "login")(w.login(adminEmail, adminPassword, home)).Token)
		w.wantEvent(admin.Org, `"login"`, adminEmail, `"allowed"`)
		w.wantEvent(admin.Org, `"logout"`)
	})
}

// Whether there is such an account can be told neither by the words nor by the work.
func TestLoginSaysNothingAboutAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	w.admin()
	if _, _, err := w.AdminLink(t.Context(), "", "invited@example.com", false); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, email := range []string{adminEmail, "nobody@example.com", "invited@example.com"} {
		before := w.HashCount()
		_, err := w.login(email, "wrong password", home)
		e := w.wantCode("login of "+email, err, sess.CodeUnauthenticated)
		said = append(said, e.Message+"|"+e.Hint)
		if n := w.HashCount() - before; n != 1 {
			t.Errorf("login of %s cost %d hashes, want 1", email, n)
		}
	}
	if said[0] != said[1] || said[0] != said[2] {
		t.Errorf("answers differ: %q", said)
	}
	for _, email := range []string{adminEmail, "nobody@example.com", "invited@example.com"} {
		for range 4 {
			_, err := w.login(email, "wrong password", home)
			w.wantCode("login of "+email, err, sess.CodeUnauthenticated)
		}
		before := w.HashCount()
		_, err := w.login(email, adminPassword, home)
		if e := w.wantCode("sixth login of "+email, err, sess.CodeLimited); !strings.Contains(e.Hint, "15m0s") {
			t.Errorf("hint = %q, want when to try again", e.Hint)
		}
		if w.HashCount() != before {
			t.Error("a limited login cost a hash")
		}
	}
}

// A stranger can close an account to their own address only, and a login from elsewhere goes on.
func TestLoginLockout(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.admin()
		for range 5 {
			_, err := w.login(adminEmail, "guess guess", else1)
			w.wantCode("guess", err, sess.CodeUnauthenticated)
		}
		_, err := w.login(adminEmail, adminPassword, else1)
		w.wantCode("right password behind five wrong ones", err, sess.CodeLimited)
		must[api.LoginOut](w, "login from elsewhere")(w.login(adminEmail, adminPassword, home))
		w.pass(15*time.Minute + time.Second)
		must[api.LoginOut](w, "login after the window")(w.login(adminEmail, adminPassword, else1))
		// A success forgets the failures before it.
		for range 3 {
			for range 4 {
				_, err := w.login(adminEmail, "guess guess", home)
				w.wantCode("guess", err, sess.CodeUnauthenticated)
			}
			must[api.LoginOut](w, "login between failures")(w.login(adminEmail, adminPassword, home))
		}
		w.wantEvent("box", `"login"`, `"limited"`)
	})
}

// One address can't try one password on many accounts, and many addresses of one IPv6 network are one.
func TestLoginSpray(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	w.admin()
	for i := range 25 {
		addr := netip.MustParseAddr(fmt.Sprintf("2001:db8:1:2::%x", i+1))
		_, err := w.login(fmt.Sprintf("user%d@example.com", i), "Summer2026!", addr)
		w.wantCode("spray", err, sess.CodeUnauthenticated)
	}
	_, err := w.login(adminEmail, adminPassword, netip.MustParseAddr("2001:db8:1:2:ffff::1"))
	w.wantCode("login from the network of the spray", err, sess.CodeLimited)
	must[api.LoginOut](w, "login from another network")(w.login(adminEmail, adminPassword, netip.MustParseAddr("2001:db8:1:3::1")))
}

// Guesses at the same moment are counted like those one after the other.
func TestLoginRace(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.admin()
		var wg sync.WaitGroup
		var mu sync.Mutex
		codes := map[sess.Code]int{}
		for range 12 {
			wg.Go(func() {
				_, err := w.login(adminEmail, "guess guess", else1)
				mu.Lock()
				defer mu.Unlock()
				codes[sess.Public(err).Code]++
			})
		}
		wg.Wait()
		if codes[sess.CodeUnauthenticated] != 5 || codes[sess.CodeLimited] != 7 {
			t.Errorf("12 guesses at once gave %v, want 5 tried and 7 limited", codes)
		}
	})
}

func TestLoginOverloaded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	w.admin()
	release := w.FillHasher()
	for range 7 {
		_, err := w.login(adminEmail, adminPassword, home)
		w.wantCode("login to a busy server", err, sess.CodeUnavailable)
	}
	release()
	must[api.LoginOut](w, "login after it: what was not tried was not counted")(w.login(adminEmail, adminPassword, home))
}

func TestLoginHostileInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	w.admin()
	for _, email := range []string{
		"", "ada", "@", "a@b@c", "Ada <ada@example.com>", "ada@example.com\x00", "ada\n@example.com", "a b@c", strings.Repeat("a", 300) + "@example.com",
		"ada@example.com, bob@example.com", "' OR 1=1 --", "\xff@example.com",
	} {
		_, err := w.login(email, adminPassword, home)
		if err == nil {
			t.Errorf("login as %q worked", email)
		} else if c := sess.Public(err).Code; c != sess.CodeInvalid {
			t.Errorf("login as %q = %v", email, err)
		}
	}
	_, err := w.login(adminEmail, strings.Repeat("x", 1025), home)
	w.wantCode("long password", err, sess.CodeInvalid)
	_, err = w.login(adminEmail, adminPassword+"\x00", netip.Addr{})
	w.wantCode("password with NUL, from no address", err, sess.CodeUnauthenticated)
}

func TestInactiveMember(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		admin := w.admin()
		out := must[api.LoginOut](w, "login")(w.login(adminEmail, adminPassword, home))
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.SetMemberActive(ctx, admin.Org, admin.User, 0)
			return err
		})
		_, err := w.Authenticate(t.Context(), out.Token, home)
		w.wantCode("authenticate", err, sess.CodeUnauthenticated)
		_, err = w.login(adminEmail, adminPassword, home)
		w.wantCode("login with the right password", err, sess.CodeDenied)
		_, err = w.login(adminEmail, "wrong password", home)
		w.wantCode("login with a wrong one", err, sess.CodeUnauthenticated)
		// The owner of the machine gets back in.
		token, who, err := w.AdminLink(t.Context(), "", "", false)
		if err != nil || who != adminEmail {
			t.Fatalf("AdminLink = %q, %v", who, err)
		}
		must[api.LoginOut](w, "accept")(w.accept(token, "", w.secret("eight tame geese"), home))
	})
}

func TestAdminLink(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		_, _, err := w.AdminLink(t.Context(), "", "", false)
		w.wantCode("AdminLink before the first start", err, sess.CodeNotFound)
		w.admin()
		old := must[api.LoginOut](w, "login")(w.login(adminEmail, adminPassword, home))
		token, who, err := w.AdminLink(t.Context(), "", "", false)
		if err != nil || who != adminEmail {
			t.Fatalf("AdminLink = %q, %v", who, err)
		}
		w.who(old.Token) // a link alone changes nothing
		_, err = w.accept(w.secret(token), "other@example.com", "eight tame geese", home)
		w.wantCode("accept with another address", err, sess.CodeInvalid)
		must[api.LoginOut](w, "accept")(w.accept(token, "", w.secret("eight tame geese"), home))
		_, err = w.Authenticate(t.Context(), old.Token, home)
		w.wantCode("authenticate with a login from before the reset", err, sess.CodeUnauthenticated)
		if len(w.revoked) != 2 { // the first accept's login, and old
			t.Errorf("revoked = %v, want two logins", w.revoked)
		}
		_, err = w.login(adminEmail, adminPassword, home)
		w.wantCode("login with the old password", err, sess.CodeUnauthenticated)

		second, who, err := w.AdminLink(t.Context(), "", "Bob@example.com", false)
		if err != nil || who != "bob@example.com" {
			t.Fatalf("AdminLink for a new admin = %q, %v", who, err)
		}
		bob := must[api.LoginOut](w, "accept")(w.accept(second, "", w.secret("nine grey herons"), home))
		if me := must[api.WhoamiOut](w, "whoami")(w.Whoami(t.Context(), w.who(bob.Token))); len(me.Grants) != 1 || me.Grants[0].Role != sess.RoleAdmin {
			t.Errorf("grants = %+v", me.Grants)
		}
		_, _, err = w.AdminLink(t.Context(), "", "", false)
		if e := w.wantCode("AdminLink for one of two", err, sess.CodeInvalid); !strings.Contains(e.Message, "bob@example.com") {
			t.Errorf("message = %q", e.Message)
		}
		w.wantEvent(bob.Org, `"invite:create"`, `"admin"`)
	})
}
