package identity_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

func TestAuthenticateLoginEnds(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.admin()
		idle := must[api.LoginOut](w, "login")(w.login(adminEmail, adminPassword, home))
		busy := must[api.LoginOut](w, "login")(w.login(adminEmail, adminPassword, home))
		for range 25 { // 23 h 45 min
			w.pass(57 * time.Minute)
			w.who(busy.Token)
		}
		_, err := w.Authenticate(t.Context(), idle.Token, home)
		if e := w.wantCode("authenticate idle", err, sess.CodeUnauthenticated); !strings.Contains(e.Message, "60 minutes") || !strings.Contains(e.Hint, "sessctl login") {
			t.Errorf("idle: %q, %q", e.Message, e.Hint)
		}
		w.pass(15 * time.Minute)
		_, err = w.Authenticate(t.Context(), busy.Token, home)
		if e := w.wantCode("authenticate after a day", err, sess.CodeUnauthenticated); !strings.Contains(e.Message, "24 hours") {
			t.Errorf("over: %q", e.Message)
		}
	})
}

// The last use is written at most once a minute, whoever writes it.
func TestTouchOnceAMinute(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.admin()
		out := must[api.LoginOut](w, "login")(w.login(adminEmail, adminPassword, home))
		id := sess.LoginID(w.who(out.Token).CredentialID)
		used := func() time.Time {
			var l store.Login
			storetest.Read(t, db, func(ctx context.Context, tx *store.Tx) (err error) {
				l, err = tx.GetLogin(ctx, out.Org, id)
				return err
			})
			return store.Time(l.LastUsedAt)
		}
		start := w.clock()
		for _, c := range []struct {
			pass time.Duration
			want time.Duration
		}{{59 * time.Second, 0}, {2 * time.Second, 61 * time.Second}, {30 * time.Second, 61 * time.Second}} {
			w.pass(c.pass)
			w.who(out.Token)
			if got := used().Sub(start); got != c.want {
				t.Errorf("after %s the last use is at %s, want %s", w.clock().Sub(start), got, c.want)
			}
		}
	})
}

func TestAuthenticateRefusals(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		admin := w.admin()
		token := w.token(admin, 1, nil)
		fresh := func(kind sess.TokenKind) string {
			s, err := sess.NewToken(kind, nil)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		strange := fresh(sess.TokenLogin)
		for what, bearer := range map[string]string{
			"nothing": "", "nonsense": "nonsense", "a typo": strange[:20] + "a" + strange[20:], "an unknown login": strange, "an unknown key": fresh(sess.TokenAPIKey),
			"an enrolment token": token.Secret, "an invitation": fresh(sess.TokenInvite), "SQL": "' OR 1=1 --", "a hash": sess.HashToken(strange), "much": strings.Repeat("sess_", 1<<16),
			"the id of a login": admin.CredentialID,
		} {
			who, err := w.Authenticate(t.Context(), bearer, home)
			e := w.wantCode("authenticate by "+what, err, sess.CodeUnauthenticated)
			if e.Hint == "" || who != (sess.Principal{}) {
				t.Errorf("%s: hint %q, principal %+v", what, e.Hint, who)
			}
		}
		w.wantEvent("box", `"authenticate"`, `"refused"`, home.String())
	})
}

func TestKeys(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		admin := w.admin()
		var in api.KeyIn
		in.Body.Name = "laptop"
		own := must[api.Key](w, "create key")(w.CreateKey(t.Context(), admin, in))
		if !strings.HasPrefix(w.secret(own.Secret), "sess_") || own.Machine || own.User != adminEmail || own.ExpiresAt.Sub(own.CreatedAt) != 90*24*time.Hour {
			t.Errorf("key = %+v", own)
		}
		me := w.who(own.Secret)
		if me.User != admin.User || me.Credential != sess.CredentialKey || me.CredentialID != string(own.ID) {
			t.Errorf("principal = %+v", me)
		}
		_, err := w.CreateKey(t.Context(), me, in)
		w.wantCode("a key that makes its successor", err, sess.CodeDenied)

		w.pass(time.Second)
		ci := w.machine(admin, "ci", "")
		if ci.UserKind != sess.UserMachine || ci.Name != "ci" {
			t.Errorf("machine = %+v", ci)
		}
		if who := must[api.WhoamiOut](w, "whoami")(w.Whoami(t.Context(), ci)); len(who.Grants) != 1 || who.Grants[0].Role != sess.RoleOperator || who.ExpiresAt == nil {
			t.Errorf("whoami = %+v", who)
		}
		in.Body.Machine = "cd"
		_, err = w.CreateKey(t.Context(), ci, in)
		w.wantCode("an operator that makes machine users", err, sess.CodeDenied)

		list := must[api.KeyList](w, "list")(w.ListKeys(t.Context(), admin, api.KeysIn{All: true}))
		if len(list.Items) != 2 || list.Items[0].User != "ci" || !list.Items[0].Machine || list.Items[1].ID != own.ID || list.Items[1].LastUsedAt == nil || list.Items[1].LastUsedBy != home.String() || list.Items[1].Secret != "" {
			t.Errorf("all keys = %+v", list.Items)
		}
		if list = must[api.KeyList](w, "list")(w.ListKeys(t.Context(), ci, api.KeysIn{})); len(list.Items) != 1 || list.Items[0].User != "ci" {
			t.Errorf("ci's keys = %+v", list.Items)
		}
		_, err = w.ListKeys(t.Context(), ci, api.KeysIn{All: true})
		w.wantCode("an operator that lists all keys", err, sess.CodeDenied)
		w.wantCode("deleting somebody else's key", w.DeleteKey(t.Context(), ci, api.IDRef{ID: string(own.ID)}), sess.CodeNotFound)
		w.wantCode("deleting no key", w.DeleteKey(t.Context(), admin, api.IDRef{ID: "key_none"}), sess.CodeNotFound)
		w.who(own.Secret)
		if err := w.DeleteKey(t.Context(), admin, api.IDRef{ID: string(own.ID)}); err != nil {
			t.Fatal(err)
		}
		_, err = w.Authenticate(t.Context(), own.Secret, home)
		w.wantCode("a deleted key", err, sess.CodeUnauthenticated)
		if len(w.revoked) != 1 || w.revoked[0] != string(own.ID) {
			t.Errorf("revoked = %v", w.revoked)
		}
		w.wantCode("deleting it again", w.DeleteKey(t.Context(), admin, api.IDRef{ID: string(own.ID)}), sess.CodeNotFound)
		w.pass(90 * 24 * time.Hour)
		ciAgain, err := w.Authenticate(t.Context(), w.secrets[len(w.secrets)-1], home)
		w.wantCode("a key after 90 days: "+ciAgain.Name, err, sess.CodeUnauthenticated)
		w.wantEvent(admin.Org, `"key:create-machine"`, `"ci"`)
		w.wantEvent(admin.Org, `"key:create"`, `"failed"`)
	})
}

func TestKeysHostileInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	w.admin()
	admin, _ := w.Authenticate(t.Context(), w.secrets[len(w.secrets)-1], home)
	try := func(what string, code sess.Code, set func(*api.KeyIn)) {
		t.Helper()
		var in api.KeyIn
		set(&in)
		_, err := w.CreateKey(t.Context(), admin, in)
		w.wantCode(what, err, code)
	}
	try("an unknown role", sess.CodeInvalid, func(in *api.KeyIn) { in.Body.Machine, in.Body.Role = "m", "root" })
	try("a role for oneself", sess.CodeInvalid, func(in *api.KeyIn) { in.Body.Role = sess.RoleAdmin })
	try("a person as machine", sess.CodeConflict, func(in *api.KeyIn) { in.Body.Machine = adminEmail })
	try("a bad name", sess.CodeInvalid, func(in *api.KeyIn) { in.Body.Machine = "two words" })
	try("a name like an address", sess.CodeInvalid, func(in *api.KeyIn) { in.Body.Machine = "eve@example.com" })
	try("a negative life", sess.CodeInvalid, func(in *api.KeyIn) { in.Body.TTL = -1 })
	try("a long life", sess.CodeInvalid, func(in *api.KeyIn) { in.Body.TTL = 1 << 62 })
	try("an escape in the name", sess.CodeInvalid, func(in *api.KeyIn) { in.Body.Name = "\x1b[2J" })
	w.machine(admin, "m", sess.RoleReadOnly)
	try("a role that an existing one has not", sess.CodeConflict, func(in *api.KeyIn) { in.Body.Machine, in.Body.Role = "m", sess.RoleAdmin })
	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		for i := range 100 {
			k := store.CreateAPIKeyParams{Org: admin.Org, ID: sess.NewKeyID(), Hash: fmt.Sprint(i), UserID: admin.User, CreatedAt: int64(i / 3), ExpiresAt: store.Micros(w.clock()) + 1}
			if err := tx.CreateAPIKey(ctx, k); err != nil {
				return err
			}
		}
		return nil
	})
	try("a hundred and first key", sess.CodeLimited, func(*api.KeyIn) {})
	seen, next := map[sess.KeyID]bool{}, ""
	for {
		page := must[api.KeyList](w, "list")(w.ListKeys(t.Context(), admin, api.KeysIn{Page: api.Page{Limit: 7, After: next}}))
		for _, k := range page.Items {
			seen[k.ID] = true
		}
		if next = page.Next; next == "" {
			break
		}
	}
	if len(seen) != 100 {
		t.Errorf("%d keys on all pages, want 100", len(seen))
	}
	for _, after := range []string{"x", strings.Repeat("A", 200), "MSB4Jw"} {
		_, err := w.ListKeys(t.Context(), admin, api.KeysIn{Page: api.Page{After: after}})
		w.wantCode("cursor "+after, err, sess.CodeInvalid)
	}
}

// A machine user that two admins make at the same time is one machine user.
func TestMachineRace(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		admin := w.admin()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				var in api.KeyIn
				in.Body.Machine = "ci"
				if _, err := w.CreateKey(t.Context(), admin, in); err != nil && sess.Public(err).Code != sess.CodeConflict {
					t.Errorf("create key = %v", err)
				}
			})
		}
		wg.Wait()
		list := must[api.KeyList](w, "list")(w.ListKeys(t.Context(), admin, api.KeysIn{All: true}))
		if len(list.Items) == 0 {
			t.Error("nobody made a key")
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *store.DB{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, open(b))
			w.admin()
			out := must[api.LoginOut](w, "login")(w.login(adminEmail, adminPassword, home))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Authenticate(b.Context(), out.Token, home); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
