package identity_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// Whoever the provider sends is somebody new, unless it sent them before; an address alone makes nobody anybody.
func TestAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	admin := w.admin()
	h := newHub(t)
	p := w.setUp(admin, "hub", h, nil)
	h.email = adminEmail
	_, err := w.byProvider(p)
	w.wantCode("the admin's address", err, sess.CodeConflict)
	w.wantEvent(admin.Org, `"idp:login"`, `"failed"`, adminEmail)
	h.email = strings.ToUpper(adminEmail)
	_, err = w.byProvider(p)
	w.wantCode("the admin's address, shouted", err, sess.CodeConflict)
	h.email, h.verified = "ann@example.com", false
	_, err = w.byProvider(p)
	w.wantCode("no verified address", err, sess.CodeDenied)
	h.verified = true
	ann := must[api.LoginOut](w, "log in")(w.byProvider(p))

	// Another number with the same address is another person.
	h.id = 4712
	_, err = w.byProvider(p)
	w.wantCode("the address of somebody it sent before", err, sess.CodeConflict)
	h.email = "bob@example.com"
	bob := must[api.LoginOut](w, "log in")(w.byProvider(p))
	if bob.User == ann.User {
		t.Error("two people are one")
	}
	// One's own address may change, but not into somebody else's.
	h.email = "ann@example.com"
	if out := must[api.LoginOut](w, "log in")(w.byProvider(p)); out.User != bob.User || out.Email != "bob@example.com" {
		t.Errorf("%+v", out)
	}
	// The same number at another provider is another person, too.
	h2 := newHub(t)
	h2.id, h2.email = 4711, "eve@example.com"
	p2 := w.setUp(admin, "hub-2", h2, nil)
	if eve := must[api.LoginOut](w, "log in")(w.byProvider(p2)); eve.User == ann.User {
		t.Error("an account is known by its subject alone")
	}

	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.SetMemberActive(ctx, admin.Org, bob.User, 0)
		return err
	})
	_, err = w.byProvider(p)
	w.wantCode("deactivated", err, sess.CodeDenied)
}

// Groups are as the provider says at each login; those given by hand stay beside them.
func TestGroupsAreApplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	admin := w.admin()
	h := newHub(t)
	p := w.setUp(admin, "hub", h, nil)
	ids := map[string]sess.TeamID{"acme/ops": w.group(admin, "acme/ops").ID, "acme/dev": w.group(admin, "acme/dev").ID}
	rules := func() (n int64) {
		storetest.Read(t, w.db, func(ctx context.Context, tx *store.Tx) error {
			o, err := tx.GetOrg(ctx, admin.Org)
			n = o.Rules
			return err
		})
		return n
	}
	check := func(want ...string) sess.UserID {
		t.Helper()
		out := must[api.LoginOut](w, "log in")(w.byProvider(p))
		got := w.groupsOf(admin.Org, out.User, ids)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("groups %q, want %q", got, want)
		}
		return out.User
	}
	h.teams = []string{"ops", "unknown"}
	ann := check("acme/ops by idp")
	w.wantEvent(admin.Org, `"groups":"acme/ops"`, `"groups_unknown":"acme/unknown"`)
	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.PutTeamMember(ctx, admin.Org, ids["acme/ops"], ann, "hand")
		return err
	})
	before := rules()
	check("acme/ops by hand", "acme/ops by idp")
	if rules() != before {
		t.Error("a login that changes nothing has all rules looked at again")
	}
	if u := must[api.User](w, "show")(w.GetUser(t.Context(), admin, api.UserRef{User: "ann@example.com"})); u.Provider == nil || u.Provider.Name != "hub" ||
		u.Provider.Subject != "4711" || !slices.Equal(u.Provider.Groups, []string{"acme/ops"}) || !slices.Equal(u.Provider.Unknown, []string{"acme/unknown"}) {
		t.Errorf("%+v", u.Provider)
	}
	h.teams = []string{"dev"}
	check("acme/dev by idp", "acme/ops by hand")
	if rules() == before {
		t.Error("other groups, and rules are not looked at again")
	}
	h.teams = nil
	check("acme/ops by hand")
}

// Removing a provider leaves nobody in whom nobody vouches for.
func TestRemoveIDP(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	admin := w.admin()
	p := w.setUp(admin, "hub", newHub(t), nil)
	ann := must[api.LoginOut](w, "log in")(w.byProvider(p))
	b := w.browser()
	flow := w.authorize(b)
	back := w.send(b, flow, "hub")
	if err := w.RemoveIDP(t.Context(), admin, api.IDPRef{IDP: "hub"}); err != nil {
		t.Fatal(err)
	}
	_, err := w.Authenticate(t.Context(), ann.Token, home)
	w.wantCode("its login", err, sess.CodeUnauthenticated)
	if len(w.revoked) != 1 {
		t.Errorf("ended: %v", w.revoked)
	}
	if _, err = w.FromProvider(t.Context(), b, p.ID, back); w.saw(err) == nil {
		t.Error("a login under way ended well")
	}
	w.wantCode("remove it again", w.RemoveIDP(t.Context(), admin, api.IDPRef{IDP: "hub"}), sess.CodeNotFound)
	w.wantEvent(admin.Org, `"idp:remove"`, `"deactivated":"1"`)
	if any, err := w.AnyIDP(t.Context()); err != nil || any {
		t.Errorf("%v, %v", any, err)
	}
}

func TestIDPOfAnotherOrganisation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	admin := w.admin()
	p := w.setUp(admin, "hub", newHub(t), nil)
	eve := sess.Principal{Org: "org_other", User: "usr_eve", Name: "eve", UserKind: sess.UserLocal, Credential: sess.CredentialLogin, Addr: else1}
	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.CreateOrg(ctx, eve.Org, "other", 1); err != nil {
			return err
		}
		if _, err := tx.CreateMember(ctx, store.CreateMemberParams{Org: eve.Org, UserID: eve.User, Kind: eve.UserKind, Name: eve.Name, CreatedAt: 1}); err != nil {
			return err
		}
		_, err := tx.CreateGrant(ctx, store.CreateGrantParams{Org: eve.Org, ID: "gra_eve", UserID: eve.User, Role: sess.RoleAdmin, CreatedAt: 1})
		return err
	})
	ctx := t.Context()
	for _, ref := range []string{"hub", string(p.ID)} {
		_, err := w.GetIDP(ctx, eve, api.IDPRef{IDP: ref})
		w.wantCode("show", err, sess.CodeNotFound)
		_, err = w.TestIDP(ctx, eve, api.IDPRef{IDP: ref})
		w.wantCode("test", err, sess.CodeNotFound)
		_, err = w.PatchIDP(ctx, eve, api.IDPPatchIn{IDPRef: api.IDPRef{IDP: ref}})
		w.wantCode("change", err, sess.CodeNotFound)
		w.wantCode("remove", w.RemoveIDP(ctx, eve, api.IDPRef{IDP: ref}), sess.CodeNotFound)
	}
	if l := must[api.IDPList](w, "list")(w.ListIDPs(ctx, eve)); len(l.Items) != 0 {
		t.Errorf("%+v", l)
	}
	// With two organisations, a browser is told of providers only where it names the organisation.
	b := w.browser()
	flow := w.authorize(b)
	if v := must[identity.FlowView](w, "view")(w.ViewFlow(ctx, b, flow)); v.OrgKnown || len(v.Providers) != 0 {
		t.Errorf("%+v", v)
	}
	_, err := w.SendFlow(ctx, b, flow, "hub")
	w.wantCode("go to a provider of no organisation", err, sess.CodeNotFound)
	one := w.wantCode("an organisation without providers", w.ChooseFlowOrg(ctx, b, flow, "other"), sess.CodeNotFound)
	two := w.wantCode("no organisation", w.ChooseFlowOrg(ctx, b, flow, "nobody"), sess.CodeNotFound)
	if one.Error() != two.Error() || one.Hint != two.Hint {
		t.Errorf("%v and %v tell who is here", one, two)
	}
	if err := w.ChooseFlowOrg(ctx, b, flow, "default"); err != nil {
		t.Fatal(err)
	}
	back := w.send(b, flow, "hub")
	if err := w.ChooseFlowOrg(ctx, b, flow, "default"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.FromProvider(ctx, b, p.ID, back); err != nil {
		t.Error(err)
	}
}
