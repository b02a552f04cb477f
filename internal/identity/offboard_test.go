package identity_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

func TestOffboarding(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		ada := w.admin()
		w.pass(time.Second)
		token := w.join(ada, bobEmail, sess.RoleOperator)
		bob := w.who(token)
		key := must[api.Key](w, "key")(w.CreateKey(ctx, bob, api.KeyIn{}))
		w.wantCode("deactivate the last admin", w.DeactivateUser(ctx, ada, user(adminEmail)), sess.CodeConflict)
		w.wantCode("delete the last admin", w.DeleteUser(ctx, ada, user(adminEmail)), sess.CodeConflict)
		w.wantCode("deactivate by an operator", w.DeactivateUser(ctx, bob, user(adminEmail)), sess.CodeNotFound)
		before := w.rules(ada.Org)
		if err := w.DeactivateUser(ctx, ada, user(bobEmail)); err != nil {
			t.Fatal(err)
		}
		if len(w.gone) != 1 || w.gone[0] != bob.User || w.rules(ada.Org) <= before {
			t.Errorf("gone = %v, rules %d", w.gone, w.rules(ada.Org))
		}
		for _, secret := range []string{token, w.secret(key.Secret)} {
			_, err := w.Authenticate(ctx, secret, home)
			w.wantCode("authenticate while deactivated", err, sess.CodeUnauthenticated)
		}
		_, err := w.login(bobEmail, bobPassword, home)
		w.wantCode("login while deactivated", err, sess.CodeDenied)
		if err := w.ReactivateUser(ctx, ada, user(bobEmail)); err != nil {
			t.Fatal(err)
		}
		w.who(token)
		w.who(key.Secret)
		if err := w.RevokeUser(ctx, ada, user(bobEmail)); err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{token, key.Secret} {
			_, err := w.Authenticate(ctx, secret, home)
			w.wantCode("authenticate after revoke", err, sess.CodeUnauthenticated)
		}
		again := must[api.LoginOut](w, "login after revoke")(w.login(bobEmail, bobPassword, home))
		if err := w.DeleteUser(ctx, ada, user(bobEmail)); err != nil {
			t.Fatal(err)
		}
		_, err = w.Authenticate(ctx, again.Token, home)
		w.wantCode("authenticate after delete", err, sess.CodeUnauthenticated)
		_, err = w.login(bobEmail, bobPassword, home)
		w.wantCode("login after delete", err, sess.CodeUnauthenticated)
		_, err = w.GetUser(ctx, ada, user(bobEmail))
		w.wantCode("show after delete", err, sess.CodeNotFound)
		l := must[api.UserList](w, "list")(w.ListUsers(ctx, ada, api.UsersIn{Deleted: true}))
		if len(l.Items) != 2 || l.Items[0].State != api.UserDeleted || l.Items[0].Name != bobEmail || len(l.Items[0].Roles) != 0 {
			t.Errorf("tombstone = %+v", l.Items)
		}
		// Invited again: nothing of what was is back.
		back := w.who(w.join(ada, bobEmail, sess.RoleReadOnly))
		me := must[api.WhoamiOut](w, "whoami")(w.Whoami(ctx, back))
		if len(me.Grants) != 1 || me.Grants[0].Role != sess.RoleReadOnly {
			t.Errorf("whoami = %+v", me)
		}
		_, err = w.Authenticate(ctx, key.Secret, home)
		w.wantCode("the key of before", err, sess.CodeUnauthenticated)
		if len(w.gone) != 3 {
			t.Errorf("gone = %v", w.gone)
		}
		for _, act := range []policy.Action{policy.UserDeactivate, policy.UserReactivate, policy.UserRevoke, policy.UserDelete} {
			w.wantEvent(ada.Org, fmt.Sprintf("%q", act), bobEmail, adminEmail, `"allowed"`)
		}
	})
}

// Project admins reactivate whoever has a role on their project, and nobody who holds more.
func TestReactivateByProjectAdmin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ctx := t.Context()
	ada := w.admin()
	w.project(ada, "web")
	pam := w.member(ada.Org, "pam@example.com")
	w.give(ada, pam.Name, "", sess.RoleProjectAdmin, "web")
	for name, want := range map[string]sess.Code{"in@example.com": "", "out@example.com": sess.CodeDenied, "boss@example.com": sess.CodeDenied, "eyes@example.com": sess.CodeDenied} {
		w.member(ada.Org, name)
		switch name {
		case "in@example.com":
			w.give(ada, name, "", sess.RoleOperator, "web")
			w.give(ada, name, "", sess.RoleOperator, "default")
		case "eyes@example.com": // who sees all evidence is not a project admin's to bring back
			w.give(ada, name, "", sess.RoleAuditor, "")
			w.give(ada, name, "", sess.RoleOperator, "web")
		case "boss@example.com":
			w.give(ada, name, "", sess.RoleAdmin, "")
			w.give(ada, name, "", sess.RoleOperator, "web")
		}
		if err := w.DeactivateUser(ctx, ada, user(name)); err != nil {
			t.Fatal(err)
		}
		w.wantCode("deactivate by a project admin", w.DeactivateUser(ctx, pam, user(name)), sess.CodeDenied)
		if err := w.saw(w.ReactivateUser(ctx, pam, user(name))); err != nil && sess.Public(err).Code != want || err == nil && want != "" {
			t.Errorf("reactivate %s: %v", name, err)
		}
	}
}

func TestLimitsOfUser(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		ada := w.admin()
		token := w.join(ada, bobEmail, sess.RoleOperator)
		bob := w.who(token)
		key := must[api.Key](w, "key")(w.CreateKey(ctx, bob, api.KeyIn{}))
		set := func(seconds *int64, active *bool) {
			t.Helper()
			in := api.UserPatchIn{UserRef: user(bobEmail)}
			in.Body.ValidSeconds, in.Body.ActiveLogin = seconds, active
			must[api.User](w, "set")(w.PatchUser(ctx, ada, in))
		}
		w.pass(20 * time.Minute)
		w.revoked = nil
		set(new(int64(600)), nil)
		if len(w.revoked) != 2 {
			t.Errorf("shortening ended %v, want the login and the key", w.revoked)
		}
		for _, secret := range []string{token, w.secret(key.Secret)} {
			_, err := w.Authenticate(ctx, secret, home)
			w.wantCode("authenticate after its time", err, sess.CodeUnauthenticated)
		}
		if out := must[api.LoginOut](w, "login")(w.login(bobEmail, bobPassword, home)); !out.ExpiresAt.Equal(w.clock().Add(10 * time.Minute)) {
			t.Errorf("a new login lasts until %s", out.ExpiresAt)
		}
		set(new(int64), nil)
		w.who(key.Secret)
		// Keys only while a login lives.
		set(nil, new(true))
		login := must[api.LoginOut](w, "login")(w.login(bobEmail, bobPassword, home))
		w.who(key.Secret)
		if err := w.RevokeUserLogins(ada.Org, bob.User); err != nil {
			t.Fatal(err)
		}
		_, err := w.Authenticate(ctx, key.Secret, home)
		if e := w.wantCode("key without a login", err, sess.CodeUnauthenticated); !strings.Contains(e.Message, "logged in") {
			t.Errorf("message = %q", e.Message)
		}
		login = must[api.LoginOut](w, "login")(w.login(bobEmail, bobPassword, home))
		w.who(key.Secret)
		w.revoked = nil
		if err := w.Logout(ctx, w.who(login.Token)); err != nil {
			t.Fatal(err)
		}
		if len(w.revoked) != 2 { // the login, and the key that has none any more
			t.Errorf("logout ended %v", w.revoked)
		}
		set(nil, new(false))
		w.who(key.Secret)
	})
}

// What is decided just before somebody is deactivated is either seen by whoever deactivates, or refused: here, keys.
func TestDeactivationRace(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		ada := w.admin()
		for i := range 8 {
			email := fmt.Sprintf("bob%d@example.com", i)
			bob := w.who(w.join(ada, email, sess.RoleOperator))
			var wg sync.WaitGroup
			var mu sync.Mutex
			made := map[sess.KeyID]bool{}
			start := make(chan struct{})
			for range 4 {
				wg.Go(func() {
					<-start
					if k, err := w.CreateKey(ctx, bob, api.KeyIn{}); err == nil {
						mu.Lock()
						made[k.ID] = true
						mu.Unlock()
					}
				})
			}
			wg.Go(func() {
				<-start
				if err := w.RevokeUser(ctx, ada, user(email)); err != nil {
					t.Errorf("revoke: %v", err)
				}
			})
			close(start)
			wg.Wait()
			storetest.Read(t, db, func(ctx context.Context, tx *store.Tx) error {
				left, err := tx.ListAPIKeysSince(ctx, ada.Org, bob.User, store.Micros(w.clock().Add(time.Hour)))
				if len(left) > 0 {
					t.Errorf("of %d keys made while all was revoked, %d live on", len(made), len(left))
				}
				return err
			})
		}
	})
}
