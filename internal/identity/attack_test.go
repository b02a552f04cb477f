package identity_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// A leaked key must not outlive itself: a machine user that may make keys makes none for itself, by whatever name it asks.
func TestKeyMakesNoFurtherKeyOfItsOwnMachineUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	bot := w.machine(w.admin(), "bot", sess.RoleAdmin)
	var in api.KeyIn
	in.Body.Machine = "bot"
	_, err := w.CreateKey(t.Context(), bot, in)
	w.wantCode("a key that makes a key of its own user, named as a machine user", err, sess.CodeDenied)
}

// What one may not see is not found, also as the place of what is to be made.
func TestProjectsOfOthersAreNotToldByGrantsAndTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ada := w.admin()
	mine, secret := w.project(ada, "mine"), w.project(ada, "secret")
	eve := w.member(ada.Org, "eve@example.com")
	w.give(ada, eve.Name, "", sess.RoleProjectAdmin, mine.Name)
	for _, ref := range []string{secret.Name, string(secret.ID)} {
		_, err := w.CreateGrant(t.Context(), eve, grantIn(eve.Name, "", sess.RoleOperator, ref))
		w.wantCode("a role on a project of others", err, sess.CodeNotFound)
		var in api.TokenIn
		in.Body.Uses, in.Body.Project = 1, ref
		_, err = w.CreateToken(t.Context(), eve, in)
		w.wantCode("a token of a project of others", err, sess.CodeNotFound)
		_, err = w.ListGrants(t.Context(), eve, api.GrantsIn{Project: ref})
		w.wantCode("the grants of a project of others", err, sess.CodeNotFound)
	}
}

// Who may do nothing learns nothing, nor by having their denial explained.
func TestExplainedDenialsTellNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ada := w.admin()
	id := w.enrol(w.token(ada, 1, nil).Secret, "prod-db").Instance
	eve := w.member(ada.Org, "eve@example.com")
	_, err := w.GetInstance(t.Context(), eve, api.InstanceRef{Instance: string(id)})
	e := w.wantCode("an instance without a role", err, sess.CodeDenied)
	_, ref, _ := strings.Cut(e.Hint, "(denial ")
	var in api.ExplainIn
	in.Body.Ref = strings.TrimSuffix(ref, ")")
	x := must[api.Explanation](w, "explain")(w.ExplainPolicy(t.Context(), eve, in))
	if strings.Contains(x.On+x.Summary, "prod-db") {
		t.Errorf("the explanation tells of what may not be seen: %+v", x)
	}
}

// Policies are not for everybody to read: their names are not either, when they are deleted since.
func TestExplainedDenialsHideDeletedPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ada := w.admin()
	w.enrol(w.token(ada, 1, nil).Secret, "web-1")
	eve := w.member(ada.Org, "eve@example.com")
	w.give(ada, eve.Name, "", sess.RoleProjectAdmin, "default")
	var put api.PolicyPutIn
	put.Policy = "layoffs-2026"
	put.Body.Body = `forbid (principal, action == Action::"instance:change", resource);`
	must[api.Policy](w, "put")(w.PutPolicy(t.Context(), ada, put))
	name := "x"
	var patch api.InstancePatchIn
	patch.Instance, patch.Body.Name = "web-1", &name
	_, err := w.PatchInstance(t.Context(), eve, patch)
	e := w.wantCode("what a policy forbids", err, sess.CodeDenied)
	if err := w.DeletePolicy(t.Context(), ada, api.PolicyRef{Policy: "layoffs-2026"}); err != nil {
		t.Fatal(err)
	}
	_, ref, _ := strings.Cut(e.Hint, "(denial ")
	if ref == "" {
		ref = e.Hint[strings.LastIndex(e.Hint, " ")+1:]
	}
	var in api.ExplainIn
	in.Body.Ref = strings.TrimSuffix(ref, ")")
	x := must[api.Explanation](w, "explain")(w.ExplainPolicy(t.Context(), eve, in))
	for _, why := range x.Why {
		if strings.Contains(why.Rule+why.Words+why.Policy, "layoffs") {
			t.Errorf("%+v", why)
		}
	}
}

// Strangers are not told which organisations there are.
func TestAuthorizeTellsNothingOfOrganisations(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	w.admin()
	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.CreateOrg(ctx, sess.NewOrgID(), "acme", 1)
		return err
	})
	shows := func(org string) identity.FlowView {
		b, in := w.browser(), authorizeIn()
		in.Org = org
		v := must[identity.FlowView](w, "view")(w.ViewFlow(t.Context(), b, must[string](w, "authorize")(w.Authorize(t.Context(), b, in))))
		v.ID, v.CreatedAt = "", v.CreatedAt.Truncate(0)
		return v
	}
	if there, not := shows("acme"), shows("no-such"); there.OrgKnown != not.OrgKnown {
		t.Errorf("an organisation without a provider is shown as %+v, one that is not there as %+v", there, not)
	}
}

// A password that was right when it was typed into a browser, and was changed before the client came for its login.
func TestLoginOfAChangedPasswordIsNotRedeemed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	admin := w.admin()
	d := w.device()
	b := w.browser()
	flow := must[string](w, "claim")(w.ClaimDevice(t.Context(), b, d.UserCode))
	if err := w.ConfirmFlow(t.Context(), b, flow); err != nil {
		t.Fatal(err)
	}
	must[identity.FlowEnd](w, "password")(w.FlowPassword(t.Context(), b, flow, adminEmail, adminPassword))
	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.SetPersonPassword(ctx, admin.User, "$changed")
		return err
	})
	_, err := w.poll(d)
	w.wantCode("a login by a password that is no more", err, sess.CodeExpired)
}

// Whoever invited somebody before, elsewhere, has a link that sets a password. It must never open an organisation that gave
// them a temporary password, whatever went wrong in between.
func TestLinkOfAnotherOrganisationOpensNoTemporaryInvitation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ada := w.admin()
	_, token := w.invite(w.otherOrg(), bobEmail, "")
	in := inviteIn(bobEmail, sess.RoleAdmin)
	in.Body.Temporary = true
	release := w.FillHasher()
	_, err := w.InviteUser(t.Context(), ada, in)
	release()
	w.wantCode("an invitation without a place to hash at", err, sess.CodeUnavailable)
	evil := must[api.LoginOut](w, "accept")(w.accept(token, "", w.secret("a password of eve's"), else1))
	storetest.Read(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		m, err := tx.GetMember(ctx, ada.Org, evil.User)
		if err == nil && m.Pending == 0 {
			t.Error("who set the password by another organisation's link is a member with the role org-admin")
		}
		return err
	})
	_, err = w.InviteUser(t.Context(), ada, in)
	if w.saw(err) != nil {
		t.Errorf("invite again: %v", err)
	}
}

// People decide by the words of the program that asks: a stranger chose them, and must not hide or turn around any.
func TestWordsOfProgramsArePlainText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	w.admin()
	b, in := w.browser(), authorizeIn()
	in.Client = "sessctl\x1b[2J\u202e on\n\u200b web-1\xff"
	v := must[identity.FlowView](w, "view")(w.ViewFlow(t.Context(), b, must[string](w, "authorize")(w.Authorize(t.Context(), b, in))))
	if v.Client != "sessctl[2J on web-1" {
		t.Errorf("%q", v.Client)
	}
}

// Where keys need a login that lives, one that has yet to show a second factor, or change its password, is none.
func TestStagedLoginIsNoneForKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ada := w.admin()
	bob := w.who(w.join(ada, bobEmail, sess.RoleOperator))
	key := w.key(bob, nil)
	on := true
	in := api.UserPatchIn{UserRef: user(bobEmail)}
	in.Body.ActiveLogin = &on
	must[api.User](w, "demand a login")(w.PatchUser(t.Context(), ada, in))
	w.who(key.Secret)
	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.SetLoginStage(ctx, bob.Org, sess.LoginID(bob.CredentialID), sess.StageMFA)
		return err
	})
	_, err := w.Authenticate(t.Context(), key.Secret, home)
	w.wantCode("a key beside a login without its second factor", err, sess.CodeUnauthenticated)
	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.SetLoginMFA(ctx, bob.Org, sess.LoginID(bob.CredentialID), new(store.Micros(w.clock())))
		return err
	})
	w.who(key.Secret) // it was shown
}

// The policy of the guide by which a project admin does not get out of what labels and names forbid.
func TestGuideKeepsWhatRulesAskForToOrgAdmins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ada := w.admin()
	w.enrol(w.token(ada, 1, nil).Secret, "web-1")
	pam := w.member(ada.Org, "pam@example.com")
	w.give(ada, pam.Name, "", sess.RoleProjectAdmin, "default")
	guide, err := os.ReadFile("../../docs/guides/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(guide), "## Who may change what rules ask for")
	_, after, _ = strings.Cut(after, "```cedar\n")
	body, _, _ := strings.Cut(after, "```")
	patch := func(who sess.Principal) (errs []error) {
		prod := "dev"
		i := api.InstancePatchIn{InstanceRef: api.InstanceRef{Instance: "web-1"}}
		i.Body.Labels = map[string]*string{"env": &prod}
		_, err := w.PatchInstance(t.Context(), who, i)
		var p api.ProjectPatchIn
		p.Project, p.Body.Name = "default", "default"
		_, err2 := w.PatchProject(t.Context(), who, p)
		return []error{err, err2}
	}
	for _, err := range patch(pam) {
		if w.saw(err) != nil {
			t.Errorf("without the policy: %v", err)
		}
	}
	put := api.PolicyPutIn{PolicyRef: api.PolicyRef{Policy: "kept"}}
	put.Body.Body = body
	must[api.Policy](w, "put")(w.PutPolicy(t.Context(), ada, put))
	for _, err := range patch(pam) {
		w.wantCode("with it", err, sess.CodeDenied)
	}
	for _, err := range patch(ada) {
		if w.saw(err) != nil {
			t.Errorf("an org admin: %v", err)
		}
	}
}
