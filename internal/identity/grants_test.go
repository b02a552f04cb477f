package identity_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// member makes a person of an organisation, without a way to log in, and gives their principal.
func (w *world) member(org sess.OrgID, email string) sess.Principal {
	w.t.Helper()
	id := sess.NewUserID()
	storetest.Write(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.CreatePerson(ctx, id, email, "x", store.Micros(w.clock())); err != nil {
			return err
		}
		_, err := tx.CreateMember(ctx, store.CreateMemberParams{Org: org, UserID: id, Kind: sess.UserLocal, Name: email, CreatedAt: store.Micros(w.clock())})
		return err
	})
	return sess.Principal{Org: org, User: id, Name: email, UserKind: sess.UserLocal, Addr: home}
}

func (w *world) project(admin sess.Principal, name string) api.Project {
	w.t.Helper()
	var in api.ProjectIn
	in.Body.Name = name
	return must[api.Project](w, "create project")(w.CreateProject(w.t.Context(), admin, in))
}

func (w *world) group(admin sess.Principal, name string, users ...string) api.Group {
	w.t.Helper()
	var in api.GroupIn
	in.Body.Name = name
	g := must[api.Group](w, "create group")(w.CreateGroup(w.t.Context(), admin, in))
	for _, u := range users {
		if err := w.AddToGroup(w.t.Context(), admin, inGroup(name, u)); err != nil {
			w.t.Fatal(err)
		}
	}
	return g
}

func inGroup(group, user string) api.GroupUserRef {
	return api.GroupUserRef{GroupRef: api.GroupRef{Group: group}, User: user}
}

func grantIn(user, group string, role sess.Role, project string) api.GrantIn {
	var in api.GrantIn
	in.Body.User, in.Body.Group, in.Body.Role, in.Body.Project = user, group, role, project
	return in
}

func (w *world) give(admin sess.Principal, user, group string, role sess.Role, project string) api.Grant {
	w.t.Helper()
	return must[api.Grant](w, "give role")(w.CreateGrant(w.t.Context(), admin, grantIn(user, group, role, project)))
}

func (w *world) rules(org sess.OrgID) (n int64) {
	storetest.Read(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		o, err := tx.GetOrg(ctx, org)
		n = o.Rules
		return err
	})
	return n
}

func TestGroupsGiveWhatTheyWereGiven(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		bob := w.member(ada.Org, "bob@example.com")
		ctx := t.Context()
		w.enrol(w.token(ada, 1, nil).Secret, "web-1")
		_, err := w.GetInstance(ctx, bob, api.InstanceRef{Instance: "web-1"})
		if e := w.wantCode("show without a role", err, sess.CodeDenied); !strings.Contains(e.Message, "no access") || !strings.Contains(e.Hint, "ask an admin") {
			t.Errorf("gated: %q, %q", e.Message, e.Hint)
		}
		_, err = w.GetInstance(ctx, bob, api.InstanceRef{Instance: "no-such"})
		w.wantCode("show of what is not there, without a role", err, sess.CodeDenied)
		me := must[api.WhoamiOut](w, "whoami")(w.Whoami(ctx, bob))
		if me.Hint == "" || len(me.Grants) != 0 {
			t.Errorf("whoami without a role = %+v", me)
		}

		w.group(ada, "sre", "bob@example.com")
		before := w.rules(ada.Org)
		w.give(ada, "", "sre", sess.RoleOperator, "default")
		if w.rules(ada.Org) <= before {
			t.Error("a grant did not move the rules on")
		}
		must[api.Instance](w, "show by the group's role")(w.GetInstance(ctx, bob, api.InstanceRef{Instance: "web-1"}))
		me = must[api.WhoamiOut](w, "whoami")(w.Whoami(ctx, bob))
		if len(me.Grants) != 1 || me.Grants[0] != (api.GrantOut{Role: sess.RoleOperator, Project: "default", Group: "sre"}) || len(me.Groups) != 1 || me.Hint != "" {
			t.Errorf("whoami = %+v", me)
		}
		g := must[api.Group](w, "show group")(w.GetGroup(ctx, ada, api.GroupRef{Group: "sre"}))
		if g.Members != 1 || len(g.Users) != 1 || g.Users[0].Source != "hand" || len(g.Grants) != 1 {
			t.Errorf("group = %+v", g)
		}
		before = w.rules(ada.Org)
		if err := w.DropOfGroup(ctx, ada, inGroup("sre", "bob@example.com")); err != nil {
			t.Fatal(err)
		}
		if w.rules(ada.Org) <= before {
			t.Error("leaving a group did not move the rules on")
		}
		_, err = w.GetInstance(ctx, bob, api.InstanceRef{Instance: "web-1"})
		w.wantCode("show after leaving", err, sess.CodeDenied)
		w.wantCode("leave twice", w.DropOfGroup(ctx, ada, inGroup("sre", "bob@example.com")), sess.CodeNotFound)
		if err := w.DeleteGroup(ctx, ada, api.GroupRef{Group: "sre"}); err != nil {
			t.Fatal(err)
		}
		if l := must[api.GrantList](w, "list grants")(w.ListGrants(ctx, ada, api.GrantsIn{})); len(l.Items) != 1 {
			t.Errorf("grants after the group is gone: %+v", l.Items)
		}
		w.wantEvent(ada.Org, `"group:change"`, "bob@example.com", `"sre"`)
		w.wantEvent(ada.Org, `"grant:create"`, `"role":"operator"`, `"to":"sre"`)
	})
}

// What an identity provider says of groups is not taken back by hand.
func TestGroupOfIdentityProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ada := w.admin()
	bob := w.member(ada.Org, "bob@example.com")
	g := w.group(ada, "sre", "bob@example.com")
	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.PutTeamMember(ctx, ada.Org, g.ID, bob.User, "idp")
		return err
	})
	if shown := must[api.Group](w, "show")(w.GetGroup(t.Context(), ada, api.GroupRef{Group: "sre"})); shown.Members != 1 || len(shown.Users) != 2 {
		t.Errorf("group = %+v", shown)
	}
	if err := w.DropOfGroup(t.Context(), ada, inGroup("sre", "bob@example.com")); err != nil {
		t.Fatal(err)
	}
	w.wantCode("take out who the provider put there", w.DropOfGroup(t.Context(), ada, inGroup("sre", "bob@example.com")), sess.CodeConflict)
}

// Nobody gives, to others or to themselves, what they don't hold.
func TestNobodyGivesMoreThanTheyHold(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		ctx := t.Context()
		pam, bob := w.member(ada.Org, "pam@example.com"), w.member(ada.Org, "bob@example.com")
		w.project(ada, "web")
		w.project(ada, "db")
		w.give(ada, pam.Name, "", sess.RoleProjectAdmin, "web")
		w.group(ada, "admins")
		w.give(ada, "", "admins", sess.RoleAdmin, "")
		w.group(ada, "web-ops")

		for _, role := range []sess.Role{sess.RoleProjectAdmin, sess.RoleOperator, sess.RoleSupport, sess.RoleReadOnly, sess.RoleAuditor} {
			w.give(pam, bob.Name, "", role, "web")
			w.give(pam, "", "web-ops", role, "web")
			for project, want := range map[string]sess.Code{"db": sess.CodeNotFound, "": sess.CodeDenied} { // db is not theirs to see
				_, err := w.CreateGrant(ctx, pam, grantIn(bob.Name, "", role, project))
				if c := sess.Public(w.saw(err)).Code; c != want {
					t.Errorf("pam gave %s on %q: %v", role, project, err)
				}
			}
		}
		for _, in := range []api.GrantIn{
			grantIn(pam.Name, "", sess.RoleAdmin, ""), grantIn(pam.Name, "", sess.RoleAdmin, "web"),
			grantIn(bob.Name, "", sess.RoleAdmin, ""), grantIn("", "web-ops", sess.RoleAdmin, ""),
			grantIn(pam.Name, "", sess.RoleProjectAdmin, ""), grantIn(pam.Name, "", sess.RoleProjectAdmin, "db"),
		} {
			if _, err := w.CreateGrant(ctx, pam, in); err == nil {
				t.Errorf("pam gave %+v", in.Body)
			}
		}
		w.wantCode("pam joins the admins", w.AddToGroup(ctx, pam, inGroup("admins", pam.Name)), sess.CodeDenied)
		// What is given elsewhere is not pam's to see or to take.
		there := w.give(ada, bob.Name, "", sess.RoleOperator, "db")
		w.wantCode("pam takes a role on db away", w.DeleteGrant(ctx, pam, api.IDRef{ID: string(there.ID)}), sess.CodeNotFound)
		for _, g := range must[api.GrantList](w, "list")(w.ListGrants(ctx, pam, api.GrantsIn{})).Items {
			if g.Project != "web" {
				t.Errorf("pam sees %+v", g)
			}
		}
		mine := must[api.GrantList](w, "list")(w.ListGrants(ctx, pam, api.GrantsIn{User: bob.Name})).Items
		if len(mine) != 5 {
			t.Fatalf("bob has %d roles on web", len(mine))
		}
		if err := w.DeleteGrant(ctx, pam, api.IDRef{ID: string(mine[0].ID)}); err != nil {
			t.Error(err)
		}
		_, err := w.CreateGrant(ctx, ada, grantIn(bob.Name, "", sess.RoleAdmin, "web"))
		w.wantCode("org-admin of a project", err, sess.CodeInvalid)
		_, err = w.CreateGrant(ctx, ada, grantIn(bob.Name, "", "wizard", ""))
		if e := w.wantCode("made-up role", err, sess.CodeInvalid); !strings.Contains(e.Hint, "project-admin") {
			t.Errorf("hint = %q", e.Hint)
		}
	})
}

// The last who can administer an organisation can't be demoted, alone or by two at once who each think of the other.
func TestLastAdminStays(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		ctx := t.Context()
		grants := must[api.GrantList](w, "list")(w.ListGrants(ctx, ada, api.GrantsIn{User: ada.Name})).Items
		w.wantCode("demote the last admin", w.DeleteGrant(ctx, ada, api.IDRef{ID: string(grants[0].ID)}), sess.CodeConflict)
		bob := w.member(ada.Org, "bob@example.com")
		second := w.give(ada, bob.Name, "", sess.RoleAdmin, "")
		var wg sync.WaitGroup
		errs := make([]error, 2)
		wg.Go(func() { errs[0] = w.DeleteGrant(ctx, bob, api.IDRef{ID: string(grants[0].ID)}) })
		wg.Go(func() { errs[1] = w.DeleteGrant(ctx, ada, api.IDRef{ID: string(second.ID)}) })
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("two admins who demote each other: %v", errs)
		}
		boss := ada
		if errs[0] == nil {
			boss = bob
		}
		// An admin by a group counts, and the group's last can't be taken out.
		grants = must[api.GrantList](w, "list")(w.ListGrants(ctx, boss, api.GrantsIn{})).Items
		w.group(boss, "admins", boss.Name)
		w.give(boss, "", "admins", sess.RoleAdmin, "")
		if err := w.DeleteGrant(ctx, boss, api.IDRef{ID: string(grants[0].ID)}); err != nil {
			t.Fatal(err)
		}
		w.wantCode("empty the admins", w.DropOfGroup(ctx, boss, inGroup("admins", boss.Name)), sess.CodeConflict)
		w.wantCode("delete the admins", w.DeleteGroup(ctx, boss, api.GroupRef{Group: "admins"}), sess.CodeConflict)
	})
}

func TestProjects(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		ctx := t.Context()
		web, bob := w.project(ada, "web"), w.member(ada.Org, "bob@example.com")
		w.give(ada, bob.Name, "", sess.RoleOperator, "web")
		w.enrol(w.token(ada, 1, nil).Secret, "web-1")
		_, err := w.GetInstance(ctx, bob, api.InstanceRef{Instance: "web-1"})
		w.wantCode("show before the move", err, sess.CodeNotFound)
		move := func(who sess.Principal, project string) error {
			in := api.MoveIn{InstanceRef: api.InstanceRef{Instance: "web-1"}}
			in.Body.Project = project
			_, err := w.MoveInstance(ctx, who, in)
			return w.saw(err)
		}
		before := w.rules(ada.Org)
		if err := move(ada, "web"); err != nil {
			t.Fatal(err)
		}
		if w.rules(ada.Org) <= before {
			t.Error("a move did not move the rules on")
		}
		must[api.Instance](w, "show after the move")(w.GetInstance(ctx, bob, api.InstanceRef{Instance: "web-1"}))
		w.wantCode("move by an operator", move(bob, "default"), sess.CodeDenied)
		// Who manages one of the two projects only can neither take nor give away.
		pam := w.member(ada.Org, "pam@example.com")
		w.give(ada, pam.Name, "", sess.RoleProjectAdmin, "web")
		w.wantCode("give away to a project one does not see", move(pam, "default"), sess.CodeNotFound)
		w.give(ada, pam.Name, "", sess.RoleReadOnly, "default")
		w.wantCode("give away to a project one only sees", move(pam, "default"), sess.CodeDenied)

		w.wantCode("delete a project with an instance", w.DeleteProject(ctx, ada, api.ProjectRef{Project: "web"}), sess.CodeConflict)
		if err := move(ada, "default"); err != nil {
			t.Fatal(err)
		}
		var in api.TokenIn
		in.Body.Project = "web"
		tok := must[api.Token](w, "token")(w.CreateToken(ctx, ada, in))
		w.wantCode("delete a project with a token", w.DeleteProject(ctx, ada, api.ProjectRef{Project: "web"}), sess.CodeConflict)
		if err := w.DeleteToken(ctx, ada, api.IDRef{ID: string(tok.ID)}); err != nil {
			t.Fatal(err)
		}
		rename := api.ProjectPatchIn{ProjectRef: api.ProjectRef{Project: "web"}}
		rename.Body.Name = "default"
		_, err = w.PatchProject(ctx, ada, rename)
		w.wantCode("rename to a name that is taken", err, sess.CodeConflict)
		rename.Body.Name = "front"
		if p := must[api.Project](w, "rename")(w.PatchProject(ctx, pam, rename)); p.ID != web.ID || p.Name != "front" {
			t.Errorf("renamed = %+v", p)
		}
		w.wantCode("delete by a project admin", w.DeleteProject(ctx, pam, api.ProjectRef{Project: "front"}), sess.CodeDenied)
		if err := w.DeleteProject(ctx, ada, api.ProjectRef{Project: string(web.ID)}); err != nil {
			t.Fatal(err)
		}
		_, err = w.ListProjects(ctx, bob, api.Page{})
		w.wantCode("list by who lost their role with the project", err, sess.CodeDenied)
		for _, name := range []string{"", " x", "a\nb", "x/y", string(web.ID), strings.Repeat("a", 65)} {
			var in api.ProjectIn
			in.Body.Name = name
			_, err := w.CreateProject(ctx, ada, in)
			w.wantCode(fmt.Sprintf("project %q", name), err, sess.CodeInvalid)
		}
	})
}
