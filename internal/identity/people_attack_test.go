package identity_test

import (
	"context"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// soleAdmin has the only org admin be somebody whom h sends, by the group acme/admins; the admin by password is deactivated.
func (w *world) soleAdmin(ada sess.Principal, p api.IDP, h *hub) (ann sess.Principal, group api.Group) {
	w.t.Helper()
	group = w.group(ada, "acme/admins")
	w.give(ada, "", "acme/admins", sess.RoleAdmin, "")
	h.teams = []string{"admins"}
	ann = w.who(must[api.LoginOut](w, "log in by the provider")(w.byProvider(p)).Token)
	if err := w.saw(w.DeactivateUser(w.t.Context(), ann, user(ada.Name))); err != nil {
		w.t.Fatal(err)
	}
	return ann, group
}

// loginTo logs in to an organisation by name.
func (w *world) loginTo(email, password, org string) (api.LoginOut, error) {
	var in api.LoginIn
	in.Body.Email, in.Body.Password, in.Body.Org = email, password, org
	out, err := w.Login(w.t.Context(), home, in)
	if err == nil {
		w.secret(out.Token)
	}
	return out, w.saw(err)
}

// A provider that names the group of the last org admin no more must not leave the organisation without one.
func TestProviderKeepsTheLastAdmin(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		h := newHub(t)
		p := w.setUp(ada, "hub", h, nil)
		w.group(ada, "acme/ops")
		_, group := w.soleAdmin(ada, p, h)

		h.teams = []string{"ops"}
		b := w.browser()
		flow := w.authorize(b)
		end := must[identity.FlowEnd](w, "come back without the group")(w.FromProvider(t.Context(), b, p.ID, w.send(b, flow, "hub")))
		if !strings.Contains(end.Note, "acme/admins") || !strings.Contains(end.Note, "last") {
			t.Errorf("the person is told %q", end.Note)
		}
		out := must[api.RedeemOut](w, "redeem")(w.RedeemLogin(t.Context(), home, w.redeem(end)))
		ann := w.who(w.secret(out.Login.Token))
		if _, err := w.ListUsers(t.Context(), ann, api.UsersIn{}); w.saw(err) != nil {
			t.Errorf("the last admin is none any more: %v", err)
		}
		in := w.groupsOf(ada.Org, ann.User, map[string]sess.TeamID{"acme/admins": group.ID})
		if !slices.Equal(in, []string{"acme/admins by idp"}) {
			t.Errorf("groups %v", in)
		}
		w.wantEvent(ada.Org, `"idp:login"`, `"groups_kept":"acme/admins"`)

		// With another admin it is as the provider says.
		if err := w.saw(w.ReactivateUser(t.Context(), ann, user(ada.Name))); err != nil {
			t.Fatal(err)
		}
		must[api.LoginOut](w, "log in again")(w.byProvider(p))
		if in := w.groupsOf(ada.Org, ann.User, map[string]sess.TeamID{"acme/admins": group.ID}); len(in) > 0 {
			t.Errorf("groups %v", in)
		}
	})
}

// Removing the provider that sends the last org admin would do the same.
func TestRemovedProviderKeepsTheLastAdmin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ada := w.admin()
	h := newHub(t)
	p := w.setUp(ada, "hub", h, nil)
	ann, _ := w.soleAdmin(ada, p, h)
	err := w.RemoveIDP(t.Context(), ann, api.IDPRef{IDP: "hub"})
	w.wantCode("remove the provider of the last admin", err, sess.CodeConflict)
	if _, err := w.Whoami(t.Context(), ann); w.saw(err) != nil {
		t.Error(err)
	}
}

// What was proved in a browser, or with a password, before all credentials were revoked is void.
func TestRevokeVoidsLoginsUnderWay(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		p := w.setUp(ada, "hub", newHub(t), nil)
		w.join(ada, bobEmail, sess.RoleOperator)
		bob := w.who(must[api.LoginOut](w, "login")(w.login(bobEmail, bobPassword, home)).Token)
		w.enrolled(bob)
		must[api.LoginOut](w, "first login of ann")(w.byProvider(p))
		for what, end := range map[string]func(name string) error{
			"revoke": func(n string) error { return w.RevokeUser(t.Context(), ada, user(n)) },
			"deactivate and reactivate": func(n string) error {
				if err := w.DeactivateUser(t.Context(), ada, user(n)); err != nil {
					return err
				}
				return w.ReactivateUser(t.Context(), ada, user(n))
			},
		} {
			b := w.browser()
			flow := w.authorize(b)
			came := must[identity.FlowEnd](w, "come back")(w.FromProvider(t.Context(), b, p.ID, w.send(b, flow, "hub")))
			c := must[api.LoginOut](w, "password")(w.login(bobEmail, bobPassword, home))
			d := w.device()
			b2 := w.browser()
			f2 := must[string](w, "claim")(w.ClaimDevice(t.Context(), b2, d.UserCode))
			if err := w.ConfirmFlow(t.Context(), b2, f2); err != nil {
				t.Fatal(err)
			}
			must[identity.FlowEnd](w, "device")(w.FromProvider(t.Context(), b2, p.ID, w.send(b2, f2, "hub")))
			for _, name := range []string{"ann@example.com", bobEmail} {
				if err := w.saw(end(name)); err != nil {
					t.Fatalf("%s %s: %v", what, name, err)
				}
			}
			_, err := w.RedeemLogin(t.Context(), home, w.redeem(came))
			w.wantCode("the browser's login after "+what, err, sess.CodeExpired)
			_, err = w.poll(d)
			w.wantCode("the device's login after "+what, err, sess.CodeExpired)
			_, err = w.answer(c.Challenge, "000000")
			w.wantCode("the challenge after "+what, err, sess.CodeExpired)
			w.pass(time.Minute)
		}
		must[api.LoginOut](w, "a new login")(w.byProvider(p))
	})
}

// A password typed into a browser is no login yet where a second factor is to follow: the guesses of codes before it stay
// counted, or a known password would buy any number of them.
func TestPasswordInBrowserBuysNoCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ada := w.admin()
	w.enrolled(ada)
	for range 4 {
		c := w.challenged()
		_, err := w.answer(c.Challenge, "000000")
		w.wantCode("a wrong code", err, sess.CodeUnauthenticated)
	}
	b := w.browser()
	flow := w.authorize(b)
	if _, err := w.FlowPassword(t.Context(), b, flow, adminEmail, adminPassword); w.saw(err) != nil {
		t.Fatal(err)
	}
	c := w.challenged()
	_, err := w.answer(c.Challenge, "000000")
	w.wantCode("the fifth", err, sess.CodeUnauthenticated)
	_, err = w.answer(c.Challenge, "000000")
	w.wantCode("the sixth", err, sess.CodeLimited)
}

// Whom the provider of one organisation calls by somebody's address is not that person: their logins clear no failures of
// the account with that address, and their failures lock nobody out.
func TestNamesakeOfAProviderIsNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	w.admin()
	eve := w.otherOrg()
	h := newHub(t)
	h.email = adminEmail // eve's provider says so
	p := w.setUp(eve, "hub", h, nil)
	fake := w.who(must[api.LoginOut](w, "log in by the provider")(w.byProviderOf("other", p)).Token)
	secret, _ := w.enrolled(fake)
	from := func(code string) error {
		b, in := w.browser(), authorizeIn()
		b.Addr, in.Org = else1, "other"
		flow := must[string](w, "authorize")(w.Authorize(t.Context(), b, in))
		must[identity.FlowEnd](w, "come back")(w.FromProvider(t.Context(), b, p.ID, w.send(b, flow, p.Name)))
		_, err := w.FlowCode(t.Context(), b, flow, code)
		return w.saw(err)
	}
	if err := from(w.appCode(secret, 0).Body.Code); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		_, err := w.login(adminEmail, "a guess of eve's", else1)
		w.wantCode("a guess", err, sess.CodeUnauthenticated)
	}
	w.pass(time.Minute)
	if err := from(w.appCode(secret, 0).Body.Code); err != nil {
		t.Fatal(err)
	}
	_, err := w.login(adminEmail, "one guess more", else1)
	w.wantCode("the sixth guess", err, sess.CodeLimited)

	w.pass(time.Hour)
	for range 5 {
		w.wantCode("a wrong code", from("000000"), sess.CodeUnauthenticated)
	}
	w.wantCode("one more", from("000000"), sess.CodeLimited)
	third := netip.MustParseAddr("203.0.113.9")
	if _, err := w.login(adminEmail, adminPassword, third); err != nil {
		t.Errorf("the failures of a namesake lock the person out: %v", err)
	}
	// An admin of theirs unlocks them.
	if err := w.saw(w.UnlockUser(t.Context(), eve, user(adminEmail))); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Minute)
	if err := from(w.appCode(secret, 0).Body.Code); err != nil {
		t.Errorf("after unlocking: %v", err)
	}
}

// Unlocking makes guesses possible: an organisation that a person has not joined does not do it at all, and one among
// several a few times a day.
func TestUnlockIsNoWayToGuessOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ada := w.admin()
	eve := w.otherOrg()
	w.invite(eve, adminEmail, "")
	err := w.UnlockUser(t.Context(), eve, user(adminEmail))
	w.wantCode("unlock somebody who has not accepted", err, sess.CodeConflict)
	there := w.second()
	for i := range 4 {
		err := w.UnlockUser(t.Context(), there, user(adminEmail))
		if i < 3 && w.saw(err) != nil {
			t.Fatal(err)
		}
		if i == 3 {
			w.wantCode("the fourth time", err, sess.CodeLimited)
		}
	}
	w.wantEvent(ada.Org, `"user:unlock"`, adminEmail)
	w.pass(25 * time.Hour)
	there = w.who(must[api.LoginOut](w, "log in")(w.loginTo(adminEmail, adminPassword, "acme")).Token)
	if err := w.saw(w.UnlockUser(t.Context(), there, user(adminEmail))); err != nil {
		t.Errorf("a day later: %v", err)
	}
}

// Whoever is logged in may log in elsewhere again and again; no more than so many of the logins live.
func TestLoginsOfOneAreBounded(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		w.second()
		var first sess.Principal
		for i := range identity.MaxLogins + 2 {
			w.pass(time.Second)
			out := must[api.LoginOut](w, "use")(w.use(ada, "acme"))
			if i == 1 {
				first = w.who(out.Token)
			}
		}
		if !slices.Contains(w.revoked, first.CredentialID) {
			t.Errorf("the oldest login lives on; ended: %v", w.revoked)
		}
		list := must[api.OrgList](w, "list")(w.ListOrgs(t.Context(), ada))
		if len(list.Items) != 2 {
			t.Errorf("%+v", list)
		}
	})
}

// A name that an organisation had stays its own: scripts and links of people still use it, and another tenant must not be
// what they reach.
func TestFormerNamesOfOrganisationsAreKept(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		eve := w.otherOrg()
		rename := func(who sess.Principal, name string) error {
			var in api.OrgRenameIn
			in.Body.Name = name
			_, err := w.RenameOrg(t.Context(), who, in)
			return w.saw(err)
		}
		if err := rename(ada, "acme"); err != nil {
			t.Fatal(err)
		}
		w.wantCode("take a former name", rename(eve, "default"), sess.CodeConflict)
		_, _, err := w.CreateOrg(t.Context(), "default", "mallory@example.com")
		w.wantCode("make an organisation of a former name", err, sess.CodeConflict)
		for _, name := range []string{"default", "acme", "default"} {
			if err := rename(ada, name); err != nil {
				t.Errorf("back to %s: %v", name, err)
			}
		}
	})
}

// A role that is given at the moment when it is deleted is given or deleted, not both: what nobody sees would come back with
// the next role of that name. Both are stopped at their ends, where each has looked and neither has committed.
func TestRoleIsNotGivenWhileDeleted(t *testing.T) {
	t.Parallel()
	url := storetest.PostgresURL(t)
	w := newWorld(t, storetest.Open(t, store.Config{URL: url}))
	look, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	ada := w.admin()
	w.group(ada, "sre")
	var in api.RoleIn
	in.Body.Name, in.Body.Summary, in.Body.Actions = "deployer", "deploys", []string{"instance:list"}
	must[api.Role](w, "create role")(w.CreateRole(t.Context(), ada, in))
	var wg sync.WaitGroup
	var gave, deleted error
	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.ChangeRules(ctx, ada.Org); err != nil { // the last step of both
			return err
		}
		wg.Go(func() { _, gave = w.CreateGrant(t.Context(), ada, grantIn("", "sre", "deployer", "default")) })
		wg.Go(func() { deleted = w.DeleteRole(t.Context(), ada, api.RoleRef{Role: "deployer"}) })
		for waiting := 0; waiting < 2; {
			const q = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
			if err := look.QueryRowContext(ctx, q).Scan(&waiting); err != nil {
				return err
			}
		}
		return nil
	})
	wg.Wait()
	if (gave == nil) == (deleted == nil) {
		t.Errorf("given: %v, deleted: %v", gave, deleted)
	}
}

// A link of the box's owner sets a password and nothing more: the second factor is asked for still, unless the owner has it
// removed.
func TestAdminLinkAsksForTheSecondFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ada := w.admin()
	secret, _ := w.enrolled(ada)
	link := func(drop bool) api.LoginOut {
		token, _, err := w.AdminLink(t.Context(), "", adminEmail, drop)
		if err != nil {
			t.Fatal(err)
		}
		return must[api.LoginOut](w, "accept")(w.accept(w.secret(token), "", w.secret("four tall herons "+token[len(token)-4:]), home))
	}
	out := link(false)
	who := w.who(out.Token)
	if out.Stage != sess.StageMFA || who.Stage != sess.StageMFA {
		t.Fatalf("the login's stage is %q, %q", out.Stage, who.Stage)
	}
	_, err := w.ListUsers(t.Context(), who, api.UsersIn{})
	w.wantCode("what needs the factor", err, sess.CodeMFA)
	w.pass(time.Minute)
	must[api.MFAOut](w, "show it")(w.VerifyMFA(t.Context(), who, w.appCode(secret, 0)))
	if who = w.who(out.Token); who.Stage != sess.StageNone {
		t.Errorf("stage %q after the factor", who.Stage)
	}
	if out := link(true); out.Stage != sess.StageNone {
		t.Errorf("the owner had the factor removed: stage %q", out.Stage)
	}
	w.wantEvent(ada.Org, `"invite:create"`, `"factors_removed":"yes"`)
}

// What a provider answers is not for strangers: it may be an answer of something else in the server's network.
func TestStrangersSeeNoAnswersOfProviders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ada := w.admin()
	inner := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		http.Error(rw, "the password of the database is hunter2", http.StatusTeapot)
	}))
	defer inner.Close()
	var in api.IDPIn
	in.Body.Name, in.Body.Kind, in.Body.Secret = "okta", "oidc", "s"
	in.Body.Settings = api.IDPSettings{ClientID: "sess", Issuer: inner.URL}
	must[api.IDP](w, "set up")(w.CreateIDP(t.Context(), ada, in))
	b := w.browser()
	_, err := w.SendFlow(t.Context(), b, w.authorize(b), "okta")
	e := w.wantCode("a provider that is none", err, sess.CodeUnavailable)
	if text := e.Message + e.Hint; strings.Contains(text, "hunter2") || strings.Contains(text, "418") || strings.Contains(text, "127.0.0.1") {
		t.Errorf("strangers are shown %q", text)
	}
	out := must[api.IDPTestOut](w, "test")(w.TestIDP(t.Context(), ada, api.IDPRef{IDP: "okta"}))
	if strings.Contains(out.Problem+out.Hint, "hunter2") || !strings.Contains(out.Problem, "418") {
		t.Errorf("admins are shown %q", out.Problem)
	}
}
