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

func names(l api.InstanceList) string {
	var s []string
	for _, i := range l.Items {
		s = append(s, i.Name)
	}
	return strings.Join(s, " ")
}

func TestInstanceList(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		admin := w.admin()
		web, dbs := w.token(admin, 10, map[string]string{"env": "prod", "tier": "web"}), w.token(admin, 10, map[string]string{"env": "prod", "tier": "100%_a"})
		for i := range 5 {
			w.enrol(web.Secret, fmt.Sprintf("web-%d", i))
			if i == 0 || i == 3 {
				w.pass(time.Second) // the others share their moment
			}
		}
		w.pass(time.Second)
		w.enrol(dbs.Secret, "db-1")
		list := func(in api.InstancesIn) api.InstanceList {
			t.Helper()
			return must[api.InstanceList](w, "list")(w.ListInstances(t.Context(), admin, in))
		}
		all := list(api.InstancesIn{})
		if len(all.Items) != 6 || all.Items[0].Name != "db-1" || all.Items[5].Name != "web-0" || all.Next != "" {
			t.Errorf("all = %s, next %q", names(all), all.Next)
		}
		for _, limit := range []int{1, 2, 3, 5, 6} {
			var got []string
			for next := ""; ; {
				p := list(api.InstancesIn{Page: api.Page{Limit: limit, After: next}})
				if len(p.Items) > limit {
					t.Fatalf("%d items on a page of %d", len(p.Items), limit)
				}
				got = append(got, names(p))
				if next = p.Next; next == "" {
					break
				}
			}
			if s := strings.Join(got, " "); s != names(all) {
				t.Errorf("pages of %d give %s, want %s", limit, s, names(all))
			}
		}
		for _, c := range []struct {
			in   api.InstancesIn
			want string
		}{
			{api.InstancesIn{Label: []string{"env=prod", "tier=100%_a"}}, "db-1"},
			{api.InstancesIn{Label: []string{"tier=100%xa"}}, ""},
			{api.InstancesIn{Label: []string{"tier=WEB"}}, ""},
			{api.InstancesIn{Label: []string{"env=prod"}, Prefix: "web-3"}, "web-3"},
			{api.InstancesIn{Prefix: "DB"}, "db-1"},
			{api.InstancesIn{Prefix: "x"}, ""},
		} {
			if got := names(list(c.in)); got != c.want {
				t.Errorf("list %+v = %s, want %s", c.in, got, c.want)
			}
		}
		for _, bad := range []api.InstancesIn{
			{Label: []string{"env"}},
			{Label: []string{"env=a", "env=b"}},
			{Label: []string{"É=a"}},
			{Prefix: "%"},
			{Prefix: "web_"},
			{Page: api.Page{Limit: -1}},
			{Page: api.Page{Limit: 1001}},
			{Page: api.Page{After: "!"}},
			{Label: strings.Split(strings.Repeat("a=b ", 21), " ")},
		} {
			_, err := w.ListInstances(t.Context(), admin, bad)
			w.wantCode(fmt.Sprintf("list %+v", bad), err, sess.CodeInvalid)
		}
	})
}

func TestInstanceFind(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		admin := w.admin()
		tok := w.token(admin, 20, nil)
		first := w.enrol(tok.Secret, "web-1")
		for _, n := range []string{"web-10", "web-11", "web-2", "web-3", "web-4", "api"} {
			w.enrol(tok.Secret, n)
		}
		for ref, want := range map[string]string{"web-1": "web-1", "WEB-2": "web-2", "a": "api", "web-3": "web-3", string(first.Instance): "web-1", string(first.Instance)[:12]: "web-1"} {
			got := must[api.Instance](w, "show "+ref)(w.GetInstance(t.Context(), admin, api.InstanceRef{Instance: ref}))
			if got.Name != want {
				t.Errorf("show %s = %s, want %s", ref, got.Name, want)
			}
		}
		_, err := w.GetInstance(t.Context(), admin, api.InstanceRef{Instance: "web"})
		if e := w.wantCode("an ambiguous name", err, sess.CodeInvalid); strings.Count(e.Message, "web-") != 5 || !strings.Contains(e.Message, "…") {
			t.Errorf("message = %q, want five candidates", e.Message)
		}
		for _, ref := range []string{"nope", "%", "web_1", "ins_%", "ins_aaaaaaaaaaaaaaaa", "we\x00", strings.Repeat("w", 64), "../web-1", "' OR 1=1 --"} {
			_, err := w.GetInstance(t.Context(), admin, api.InstanceRef{Instance: ref})
			if e := w.wantCode("show "+ref, err, sess.CodeNotFound); !strings.Contains(e.Hint, "sessctl instance list") {
				t.Errorf("show %q: hint %q", ref, e.Hint)
			}
		}
		_, err = w.GetInstance(t.Context(), admin, api.InstanceRef{})
		w.wantCode("show nothing", err, sess.CodeInvalid)
	})
}

func TestInstanceChange(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		admin := w.admin()
		tok := w.token(admin, 20, map[string]string{"env": "prod"})
		web, other := w.enrol(tok.Secret, "web-1"), w.enrol(tok.Secret, "web-2")
		patch := func(who sess.Principal, ref, name string, labels map[string]*string) (api.Instance, error) {
			in := api.InstancePatchIn{InstanceRef: api.InstanceRef{Instance: ref}}
			if name != "" {
				in.Body.Name = &name
			}
			in.Body.Labels = labels
			return w.PatchInstance(t.Context(), who, in)
		}
		team := "core"
		got := must[api.Instance](w, "patch")(patch(admin, "web-1", "front-1", map[string]*string{"env": nil, "team": &team, "gone": nil}))
		if got.Name != "front-1" || len(got.Labels) != 1 || got.Labels["team"] != "core" {
			t.Errorf("patched = %+v", got)
		}
		_, err := patch(admin, "front-1", "web-2", nil)
		w.wantCode("a name that is taken", err, sess.CodeConflict)
		must[api.Instance](w, "rename to itself")(patch(admin, "front-1", "front-1", nil))
		for _, bad := range []string{"-x", "X", "a b", strings.Repeat("a", 64), "a\n", "ins_aaaaaaaaaaaaaaaa"} {
			_, err := patch(admin, "front-1", bad, nil)
			w.wantCode("rename to "+bad, err, sess.CodeInvalid)
		}
		many := map[string]*string{}
		for i := range 64 {
			many[fmt.Sprintf("l%d", i)] = &team
		}
		_, err = patch(admin, "front-1", "", many)
		w.wantCode("65 labels", err, sess.CodeInvalid)
		if got := must[api.Instance](w, "show")(w.GetInstance(t.Context(), admin, api.InstanceRef{Instance: "front-1"})); len(got.Labels) != 1 {
			t.Errorf("a refused change left %d labels", len(got.Labels))
		}
		ci := w.machine(admin, "ci", sess.RoleOperator)
		must[api.Instance](w, "show")(w.GetInstance(t.Context(), ci, api.InstanceRef{Instance: "front-1"}))
		_, err = patch(ci, "front-1", "mine", nil)
		w.wantCode("an operator's change", err, sess.CodeDenied)
		w.wantCode("an operator's removal", w.RemoveInstance(t.Context(), ci, api.InstanceRef{Instance: "front-1"}), sess.CodeDenied)

		if err := w.RemoveInstance(t.Context(), admin, api.InstanceRef{Instance: "web-2"}); err != nil {
			t.Fatal(err)
		}
		if len(w.removed) != 1 || w.removed[0] != other.Instance {
			t.Errorf("removed = %v", w.removed)
		}
		_, err = w.GetInstance(t.Context(), admin, api.InstanceRef{Instance: string(other.Instance)})
		w.wantCode("a removed instance", err, sess.CodeNotFound)
		_, err = w.AgentByID(t.Context(), home, other.Instance)
		w.wantCode("the agent of a removed instance", err, sess.CodeDenied)
		if again := w.enrol(tok.Secret, "web-2"); again.Name != "web-2" || again.Instance == other.Instance {
			t.Errorf("its name is not free again: %+v", again)
		}
		w.wantEvent(admin.Org, `"instance:change"`, string(web.Instance), "front-1")
		w.wantEvent(admin.Org, `"instance:remove"`, string(other.Instance))
	})
}

// Renaming and enrolling at the same time never give one name twice, nor an error that people can't read.
func TestNameRace(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		admin := w.admin()
		tok := w.token(admin, 20, nil)
		for i := range 4 {
			w.enrol(tok.Secret, fmt.Sprintf("old-%d", i))
		}
		var wg sync.WaitGroup
		for i := range 4 {
			in := enrolIn(t, tok.Secret, "new")
			wg.Go(func() {
				if _, err := w.Enrol(t.Context(), home, in); err != nil {
					t.Errorf("enrol = %v", err)
				}
			})
			wg.Go(func() {
				name := "new"
				p := api.InstancePatchIn{InstanceRef: api.InstanceRef{Instance: fmt.Sprintf("old-%d", i)}}
				p.Body.Name = &name
				if _, err := w.PatchInstance(t.Context(), admin, p); err != nil && sess.Public(err).Code != sess.CodeConflict {
					t.Errorf("rename = %v", err)
				}
			})
		}
		wg.Wait()
	})
}

// Whoever holds a role on a project sees that project's instances, and asking for others is like asking for none.
func TestInstancesOfProject(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		admin := w.admin()
		side := sess.NewProjectID()
		ci := w.machine(admin, "ci", sess.RoleReadOnly)
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.CreateProject(ctx, admin.Org, side, "side", 1); err != nil {
				return err
			}
			if _, err := tx.CreateMember(ctx, store.CreateMemberParams{Org: admin.Org, UserID: "usr_side", Kind: sess.UserMachine, Name: "sider", CreatedAt: 1}); err != nil {
				return err
			}
			_, err := tx.CreateGrant(ctx, store.CreateGrantParams{Org: admin.Org, ID: sess.NewGrantID(), UserID: "usr_side", Role: sess.RoleOperator, Project: side, CreatedAt: 1})
			return err
		})
		sider := sess.Principal{Org: admin.Org, User: "usr_side", Name: "sider", UserKind: sess.UserMachine, Credential: sess.CredentialKey, Addr: home}
		var in api.TokenIn
		in.Body.Project = "side"
		sideTok := must[api.Token](w, "create token")(w.CreateToken(t.Context(), admin, in))
		mainTok := w.token(admin, 5, nil)
		w.enrol(sideTok.Secret, "web-side")
		w.enrol(mainTok.Secret, "web-main")
		w.enrol(mainTok.Secret, "db-main")
		list := must[api.InstanceList](w, "list")(w.ListInstances(t.Context(), sider, api.InstancesIn{}))
		if names(list) != "web-side" || list.Items[0].Project != "side" {
			t.Errorf("sider sees %+v", list.Items)
		}
		if list := must[api.InstanceList](w, "list")(w.ListInstances(t.Context(), ci, api.InstancesIn{})); len(list.Items) != 3 {
			t.Errorf("ci sees %s", names(list))
		}
		// "web" fits one that sider may see.
		must[api.Instance](w, "show")(w.GetInstance(t.Context(), sider, api.InstanceRef{Instance: "web"}))
		_, err := w.GetInstance(t.Context(), sider, api.InstanceRef{Instance: "db-main"})
		hidden := w.wantCode("an instance of another project", err, sess.CodeNotFound)
		_, err = w.GetInstance(t.Context(), sider, api.InstanceRef{Instance: "no-main"})
		missing := w.wantCode("no instance", err, sess.CodeNotFound)
		if strings.ReplaceAll(hidden.Message+hidden.Hint, "db-main", "no-main") != missing.Message+missing.Hint {
			t.Errorf("hidden %q %q and missing %q %q differ", hidden.Message, hidden.Hint, missing.Message, missing.Hint)
		}
		if me := must[api.WhoamiOut](w, "whoami")(w.Whoami(t.Context(), sess.Principal{Org: admin.Org, User: "usr_side", Name: "sider", Addr: home})); len(me.Grants) != 1 || me.Grants[0].Project != "side" {
			t.Errorf("whoami = %+v", me)
		}
	})
}
