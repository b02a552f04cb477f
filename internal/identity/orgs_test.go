package identity_test

import (
	"context"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// second has the box's owner make an organisation, of which the admin of the first one becomes the admin, too.
func (w *world) second() sess.Principal {
	w.t.Helper()
	w.pass(time.Second) // lists are by age
	token, known, err := w.CreateOrg(w.t.Context(), "acme", adminEmail)
	if err != nil || !known {
		w.t.Fatalf("CreateOrg: known %v, %v", known, err)
	}
	_, err = w.accept(w.secret(token), "", "not their password 9", home)
	w.wantCode("accept without the password", err, sess.CodeUnauthenticated)
	out := must[api.LoginOut](w, "accept")(w.accept(token, "", adminPassword, home))
	return w.who(out.Token)
}

func (w *world) use(who sess.Principal, org string) (api.LoginOut, error) {
	in := api.OrgUseIn{Org: org}
	out, err := w.UseOrg(w.t.Context(), who, in)
	if err == nil {
		w.secret(out.Token)
	}
	return out, w.saw(err)
}

func (w *world) set(who sess.Principal, now bool, pairs ...string) (api.Org, error) {
	var in api.OrgSetIn
	in.Body.Settings, in.Body.Now = map[string]string{}, now
	for i := 0; i < len(pairs); i += 2 {
		in.Body.Settings[pairs[i]] = pairs[i+1]
	}
	out, err := w.SetOrg(w.t.Context(), who, in)
	return out, w.saw(err)
}

func TestCreateOrg(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		first := w.admin()
		there := w.second()
		if there.Org == first.Org || there.User != first.User {
			t.Errorf("the admin of the second organisation is %+v", there)
		}
		if p := must[api.ProjectList](w, "list projects")(w.ListProjects(t.Context(), there, api.Page{})); len(p.Items) != 1 || p.Items[0].Name != "default" {
			t.Errorf("projects: %+v", p.Items)
		}
		_, _, err := w.CreateOrg(t.Context(), "acme", "eve@example.com")
		w.wantCode("a name that is taken", err, sess.CodeConflict)
		for _, name := range []string{"", "Acme", "a b", "-a", string(first.Org)} {
			_, _, err := w.CreateOrg(t.Context(), name, "eve@example.com")
			w.wantCode("the name "+name, err, sess.CodeInvalid)
		}
		w.pass(time.Second)
		if _, known, err := w.CreateOrg(t.Context(), "beta", "eve@example.com"); err != nil || known {
			t.Errorf("an organisation for somebody new: known %v, %v", known, err)
		}
		all := must[[]identity.BoxOrg](w, "list")(w.AllOrgs(t.Context()))
		if len(all) != 3 || all[0].Name != "default" || all[0].Members != 1 || all[2].Members != 0 {
			t.Errorf("organisations: %+v", all)
		}
		// A server that starts again takes the first organisation for its own, whatever it is called by now.
		var in api.OrgRenameIn
		in.Body.Name = "acme"
		_, err = w.RenameOrg(t.Context(), first, in)
		w.wantCode("rename to a name that is taken", err, sess.CodeConflict)
		in.Body.Name = "renamed"
		must[api.Org](w, "rename")(w.RenameOrg(t.Context(), first, in))
		if _, invited, err := w.FirstStart(t.Context()); err != nil || invited {
			t.Errorf("the next start invites somebody: %v, %v", invited, err)
		}
	})
}

func TestUseOrg(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		first := w.admin()
		stranger := w.otherOrg()
		there := w.second()
		list := must[api.OrgList](w, "list")(w.ListOrgs(t.Context(), first))
		if len(list.Items) != 2 || list.Items[0].Name != "acme" || list.Items[0].Current || !list.Items[1].Current {
			t.Errorf("organisations: %+v", list.Items)
		}
		// Where one is no member is nowhere.
		_, err := w.use(first, "other")
		is := w.wantCode("an organisation that one is not in", err, sess.CodeNotFound)
		_, err = w.use(first, "nowhere")
		if not := w.wantCode("none", err, sess.CodeNotFound); *is != *not {
			t.Errorf("%+v and %+v tell them apart", is, not)
		}
		_, err = w.use(first, string(stranger.Org))
		w.wantCode("its id", err, sess.CodeNotFound)

		// Chains of switches never outlive the first login, even where the organisation allows more.
		must[api.Org](w, "set")(w.set(there, false, "login-validity", "30d"))
		began := w.clock()
		who := first
		for range 4 {
			w.pass(30 * time.Minute)
			out := must[api.LoginOut](w, "use")(w.use(who, map[bool]string{true: "default", false: "acme"}[who.Org == there.Org]))
			if out.ExpiresAt.After(began.Add(24 * time.Hour)) {
				t.Errorf("a switch is valid until %s", out.ExpiresAt)
			}
			who = w.who(out.Token)
		}

		// Neither keys nor logins by a provider cross, and they tell of no other organisation.
		var in api.KeyIn
		in.Body.Name = "k"
		key := w.who(w.secret(must[api.Key](w, "key")(w.CreateKey(t.Context(), who, in)).Secret))
		byIDP := who
		byIDP.IDP = "idp_x"
		for _, p := range []sess.Principal{key, byIDP} {
			_, err = w.use(p, "acme")
			w.wantCode("use by "+string(p.Credential), err, sess.CodeInvalid)
			if l := must[api.OrgList](w, "list")(w.ListOrgs(t.Context(), p)); len(l.Items) != 1 {
				t.Errorf("%s is told of %+v", p.Credential, l.Items)
			}
		}

		// Who is deactivated there does not get in, and a new password lets nobody slip in behind it.
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.SetMemberActive(ctx, there.Org, there.User, 0)
			return err
		})
		_, err = w.use(who, "acme")
		w.wantCode("use where one is deactivated", err, sess.CodeDenied)
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.RevokeLogin(ctx, who.Org, sess.LoginID(who.CredentialID), new(store.Micros(w.clock())))
			return err
		})
		if _, err = w.use(who, "default"); err == nil {
			t.Error("a login that was ended makes another")
		}
	})
}

// A second factor is an organisation's own: shown in one, it is nothing in another.
func TestUseOrgWithFactor(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		first := w.admin()
		there := w.second()
		w.enrolled(first)

		// Demanded there, and none enrolled: that comes first.
		must[api.Org](w, "set")(w.set(there, false, "require-mfa", "on"))
		out := must[api.LoginOut](w, "use")(w.use(first, "acme"))
		who := w.who(out.Token)
		if out.Stage != sess.StageMFA || who.Stage != sess.StageMFA || !who.MFAAt.IsZero() {
			t.Errorf("stage %q, %q, factor at %s", out.Stage, who.Stage, who.MFAAt)
		}
		_, err := w.set(who, false, "require-mfa", "off")
		w.wantCode("something before the factor", err, sess.CodeMFA)
		w.pass(time.Minute)
		secret, _ := w.enrolled(who)
		if who = w.who(out.Token); who.Stage != sess.StageNone {
			t.Errorf("stage %q after the enrolment", who.Stage)
		}

		// Enrolled there, though not demanded: asked for, as a login by the password would.
		must[api.Org](w, "set")(w.set(who, false, "require-mfa", "off"))
		out = must[api.LoginOut](w, "use")(w.use(first, "acme"))
		if who = w.who(out.Token); out.Stage != sess.StageMFA || who.Stage != sess.StageMFA {
			t.Errorf("stage %q, %q", out.Stage, who.Stage)
		}
		_, err = w.GetOrg(t.Context(), who)
		w.wantCode("something before the code", err, sess.CodeMFA)
		if _, err := w.VerifyMFA(t.Context(), who, w.appCode(secret, 0)); err != nil {
			t.Fatal(err)
		}
		if who = w.who(out.Token); who.Stage != sess.StageNone {
			t.Errorf("stage %q after the code", who.Stage)
		}
	})
}

func TestSetOrg(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		var before int64
		version := func() (v int64) {
			storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
				o, err := tx.GetOrg(ctx, ada.Org)
				v = o.Rules
				return err
			})
			return v
		}
		before = version()
		o := must[api.Org](w, "set")(w.set(ada, false, "login-validity", "2h", "idle-logout", "10m"))
		if version() == before {
			t.Error("those who look again are not told")
		}
		got := map[string]api.OrgSetting{}
		for _, s := range o.Settings {
			got[s.Key] = s
		}
		if s := got["login-validity"]; s.Value != "2h" || s.Default {
			t.Errorf("login-validity: %+v", s)
		}
		if s := got["lockout-window"]; s.Value != "15m" || !s.Default {
			t.Errorf("lockout-window: %+v", s)
		}
		// All or nothing.
		_, err := w.set(ada, false, "idle-logout", "20m", "login-validity", "1s")
		w.wantCode("out of bounds", err, sess.CodeInvalid)
		_, err = w.set(ada, true, "idle-logout", "20m")
		w.wantCode("now, without the switch", err, sess.CodeInvalid)
		_, err = w.set(ada, true, "session-manager", "on")
		w.wantCode("on, at once", err, sess.CodeInvalid)
		_, err = w.set(ada, false)
		w.wantCode("nothing", err, sess.CodeInvalid)

		// It holds for logins there are.
		out := must[api.LoginOut](w, "login")(w.login(adminEmail, adminPassword, home))
		w.pass(9 * time.Minute)
		who := w.who(out.Token)
		w.pass(11 * time.Minute)
		_, err = w.Authenticate(t.Context(), out.Token, home)
		w.wantCode("a login not used for ten minutes", err, sess.CodeUnauthenticated)
		_ = who
		out = must[api.LoginOut](w, "login")(w.login(adminEmail, adminPassword, home))
		if d := out.ExpiresAt.Sub(w.clock()); d != 2*time.Hour {
			t.Errorf("valid for %s", d)
		}
		who = w.who(out.Token)
		w.pass(6 * time.Minute)
		must[api.Org](w, "set")(w.set(who, false, "login-validity", "5m"))
		_, err = w.Authenticate(t.Context(), out.Token, home)
		w.wantCode("a login older than what is valid now", err, sess.CodeUnauthenticated)
	})
}
