package identity_test

import (
	"context"
	"testing"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// An admin of one organisation finds nothing of another, by any verb and any name, and changes nothing of it.
func TestOtherOrganisation(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		tok := w.token(ada, 5, map[string]string{"env": "prod"})
		web := w.enrol(tok.Secret, "web-1")
		key := must[api.Key](w, "create key")(w.CreateKey(t.Context(), ada, api.KeyIn{}))
		eve := sess.Principal{Org: "org_other", User: "usr_eve", Name: "eve", UserKind: sess.UserLocal, Credential: sess.CredentialLogin, CredentialID: ada.CredentialID, Addr: else1}
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.CreateOrg(ctx, eve.Org, "other", 1); err != nil {
				return err
			}
			if err := tx.CreateProject(ctx, eve.Org, "prj_other", "default", 1); err != nil {
				return err
			}
			if _, err := tx.CreateMember(ctx, store.CreateMemberParams{Org: eve.Org, UserID: eve.User, Kind: eve.UserKind, Name: eve.Name, CreatedAt: 1}); err != nil {
				return err
			}
			_, err := tx.CreateGrant(ctx, store.CreateGrantParams{Org: eve.Org, ID: "gra_eve", UserID: eve.User, Role: sess.RoleAdmin, CreatedAt: 1})
			return err
		})
		ctx := t.Context()
		for _, ref := range []string{"web-1", "web", string(web.Instance)} {
			_, err := w.GetInstance(ctx, eve, api.InstanceRef{Instance: ref})
			w.wantCode("show "+ref, err, sess.CodeNotFound)
			name := "stolen"
			in := api.InstancePatchIn{InstanceRef: api.InstanceRef{Instance: ref}}
			in.Body.Name = &name
			_, err = w.PatchInstance(ctx, eve, in)
			w.wantCode("change "+ref, err, sess.CodeNotFound)
			w.wantCode("remove "+ref, w.RemoveInstance(ctx, eve, api.InstanceRef{Instance: ref}), sess.CodeNotFound)
		}
		w.wantCode("delete token", w.DeleteToken(ctx, eve, api.IDRef{ID: string(tok.ID)}), sess.CodeNotFound)
		w.wantCode("delete key", w.DeleteKey(ctx, eve, api.IDRef{ID: string(key.ID)}), sess.CodeNotFound)
		if l := must[api.InstanceList](w, "list")(w.ListInstances(ctx, eve, api.InstancesIn{Label: []string{"env=prod"}})); len(l.Items) != 0 {
			t.Errorf("instances = %+v", l.Items)
		}
		if l := must[api.TokenList](w, "list")(w.ListTokens(ctx, eve, api.Page{})); len(l.Items) != 0 {
			t.Errorf("tokens = %+v", l.Items)
		}
		if l := must[api.KeyList](w, "list")(w.ListKeys(ctx, eve, api.KeysIn{All: true})); len(l.Items) != 0 {
			t.Errorf("keys = %+v", l.Items)
		}
		// Ending a login by somebody else's id ends nothing.
		if err := w.Logout(ctx, eve); err != nil {
			t.Fatal(err)
		}
		w.who(w.secrets[2]) // the login of ada's accept
		// A principal that claims ada's org is no member of it.
		eve.Org = ada.Org
		_, err := w.GetInstance(ctx, eve, api.InstanceRef{Instance: "web-1"})
		w.wantCode("show as no member", err, sess.CodeDenied)
		if i := must[api.Instance](w, "show")(w.GetInstance(ctx, ada, api.InstanceRef{Instance: "web-1"})); i.Name != "web-1" {
			t.Errorf("instance = %+v", i)
		}
		// The same names are free in each organisation.
		eve.Org = "org_other"
		other := w.token(eve, 1, nil)
		if out := w.enrol(other.Secret, "web-1"); out.Name != "web-1" {
			t.Errorf("enrol in the other organisation = %+v", out)
		}
	})
}
