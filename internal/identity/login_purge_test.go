package identity_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// TestOldLoginsAreDeleted: a login that ran out goes a month later, with what housekeeping there is; not one by which a session was
// started that still lives: who may do what is asked by it.
func TestOldLoginsAreDeleted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.admin()
		login := func() sess.Principal {
			return w.who(must[api.LoginOut](w, "login")(w.login(adminEmail, adminPassword, home)).Token)
		}
		known := func(who sess.Principal) (there bool) {
			t.Helper()
			storetest.Read(t, db, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.GetLogin(ctx, who.Org, sess.LoginID(who.CredentialID))
				if there = err == nil; errors.Is(err, store.ErrNotFound) {
					return nil
				}
				return err
			})
			return there
		}
		serving, idle := login(), login()
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.InsertSession(ctx, store.InsertSessionParams{
				Org: serving.Org, ID: sess.NewSessionID(), Kind: sess.KindShell, Instance: "ins_1", UserID: serving.User, UserName: serving.Name,
				Credential: sess.CredentialLogin, CredentialID: serving.CredentialID, Node: "nod_1", Command: "[]", OwnerKey: "k", CreatedAt: 1,
			})
		})
		w.pass(25 * time.Hour) // the default validity is a day
		if login(); !known(idle) || !known(serving) {
			t.Error("what ran out a moment ago is gone")
		}
		w.pass(31 * 24 * time.Hour)
		now := login()
		if known(idle) || !known(serving) || !known(now) {
			t.Errorf("old: %t, with a session: %t, new: %t", known(idle), known(serving), known(now))
		}
	})
}
