package identity_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// person makes a member without any role and gives the principal of a login of theirs.
func (w *world) person(org sess.OrgID, name string) sess.Principal {
	w.t.Helper()
	id := sess.NewUserID()
	login := sess.NewLoginID()
	storetest.Write(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.CreateMember(ctx, store.CreateMemberParams{Org: org, UserID: id, Kind: sess.UserLocal, Name: name, CreatedAt: 1}); err != nil {
			return err
		}
		return tx.CreateLogin(ctx, store.CreateLoginParams{
			Org: org, ID: login, Hash: string(login), UserID: id, CreatedAt: store.Micros(w.clock()), ExpiresAt: store.Micros(w.clock().Add(24 * time.Hour)),
		})
	})
	return sess.Principal{Org: org, User: id, Name: name, UserKind: sess.UserLocal, Credential: sess.CredentialLogin, CredentialID: string(login), Addr: home}
}

func (w *world) key(who sess.Principal, set func(*api.KeyIn)) api.Key {
	w.t.Helper()
	var in api.KeyIn
	if set != nil {
		set(&in)
	}
	k := must[api.Key](w, "create key")(w.CreateKey(w.t.Context(), who, in))
	w.secret(k.Secret)
	return k
}

func (w *world) rotate(who sess.Principal, id sess.KeyID, overlap time.Duration) (api.Key, error) {
	in := api.KeyRotateIn{IDRef: api.IDRef{ID: string(id)}}
	in.Body.Overlap = int64(overlap.Seconds())
	k, err := w.RotateKey(w.t.Context(), who, in)
	if err == nil {
		w.secret(k.Secret)
	}
	return k, w.saw(err)
}

// Keys are for everyone: somebody without any role makes, sees, replaces and deletes theirs, and nobody else's.
func TestKeysWithoutARole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	admin := w.admin()
	bob, carol := w.person(admin.Org, "bob@example.com"), w.person(admin.Org, "carol@example.com")
	k := w.key(bob, func(in *api.KeyIn) { in.Body.Name, in.Body.User = "mine", bob.Name })
	if w.who(k.Secret).User != bob.User || k.UserID != bob.User {
		t.Errorf("key = %+v", k)
	}
	list := must[api.KeyList](w, "list")(w.ListKeys(t.Context(), bob, api.KeysIn{User: bob.Name}))
	if len(list.Items) != 1 || !strings.HasPrefix(k.Secret, list.Items[0].Hint) || len(list.Items[0].Hint) != len("sess_")+6 {
		t.Errorf("bob's keys = %+v", list.Items)
	}
	_, err := w.ListKeys(t.Context(), carol, api.KeysIn{User: bob.Name})
	w.wantCode("listing somebody else's keys", err, sess.CodeDenied)
	_, err = w.rotate(carol, k.ID, 0)
	w.wantCode("replacing somebody else's key", err, sess.CodeNotFound)
	_, err = w.rotate(admin, k.ID, 0)
	w.wantCode("an admin who replaces a person's key, and so could act as them", err, sess.CodeDenied)
	var in api.KeyIn
	in.Body.User = bob.Name
	_, err = w.CreateKey(t.Context(), admin, in)
	w.wantCode("an admin who makes a person's key", err, sess.CodeDenied)
	_, err = w.CreateKey(t.Context(), carol, in)
	w.wantCode("somebody who makes another person's key", err, sess.CodeDenied)
	if list = must[api.KeyList](w, "list")(w.ListKeys(t.Context(), admin, api.KeysIn{User: bob.Name})); len(list.Items) != 1 || list.Items[0].ID != k.ID {
		t.Errorf("bob's keys as the admin sees them = %+v", list.Items)
	}
	_, err = w.ListKeys(t.Context(), admin, api.KeysIn{User: "nobody@example.com"})
	w.wantCode("the keys of nobody", err, sess.CodeNotFound)
	if err := w.DeleteKey(t.Context(), admin, api.IDRef{ID: string(k.ID)}); err != nil {
		t.Errorf("an admin deletes a key: %v", err)
	}
}

func TestKeyRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	admin := w.admin()
	must[api.Machine](w, "machine")(w.machineUser(admin, "ci-deploy", "", ""))
	old := w.key(admin, func(in *api.KeyIn) {
		in.Body.Name, in.Body.User, in.Body.TTL, in.Body.From = "nightly", "ci-deploy", 30*86400, []string{"192.0.2.0/24"}
	})
	_, err := w.rotate(w.who(old.Secret), old.ID, time.Hour)
	w.wantCode("a key that replaces itself", err, sess.CodeDenied)
	next := must[api.Key](w, "rotate")(w.rotate(admin, old.ID, time.Hour))
	if next.Name != "nightly" || next.User != "ci-deploy" || !next.Machine || strings.Join(next.From, " ") != "192.0.2.0/24" || next.ExpiresAt.Sub(next.CreatedAt) != 30*24*time.Hour || next.Secret == old.Secret {
		t.Errorf("the new key = %+v", next)
	}
	w.pass(59 * time.Minute)
	w.who(old.Secret)
	w.who(next.Secret)
	w.pass(2 * time.Minute)
	_, err = w.Authenticate(t.Context(), old.Secret, home)
	w.wantCode("the old key after the overlap", err, sess.CodeUnauthenticated)
	w.who(next.Secret)
	if len(w.revoked) != 0 {
		t.Errorf("revoked = %v", w.revoked)
	}

	// Without an overlap it is gone at once, and so is what it started.
	admin = w.who(must[api.LoginOut](w, "login")(w.login(adminEmail, adminPassword, home)).Token)
	last := must[api.Key](w, "rotate")(w.rotate(admin, next.ID, 0))
	_, err = w.Authenticate(t.Context(), next.Secret, home)
	w.wantCode("a key that was replaced at once", err, sess.CodeUnauthenticated)
	if len(w.revoked) != 1 || w.revoked[0] != string(next.ID) {
		t.Errorf("revoked = %v", w.revoked)
	}
	_, err = w.rotate(admin, next.ID, 0)
	w.wantCode("replacing it again", err, sess.CodeNotFound)
	for _, overlap := range []time.Duration{-time.Second, 31 * 24 * time.Hour} {
		_, err = w.rotate(admin, last.ID, overlap)
		w.wantCode("an overlap of "+overlap.String(), err, sess.CodeInvalid)
	}
	w.wantEvent(admin.Org, `"key:rotate"`, `"allowed"`, string(old.ID))
}

// A key with an address list is accepted from there and from nowhere else, and the refusal is on record.
func TestKeyAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	admin := w.admin()
	k := w.key(admin, func(in *api.KeyIn) { in.Body.From = []string{"192.0.2.0/24", "2001:db8::/32", "192.0.2.0/24"} })
	if strings.Join(k.From, " ") != "192.0.2.0/24 2001:db8::/32" {
		t.Errorf("key = %+v", k)
	}
	for _, ok := range []string{"192.0.2.1", "::ffff:192.0.2.1", "2001:db8::7"} {
		if _, err := w.Authenticate(t.Context(), k.Secret, netip.MustParseAddr(ok)); err != nil {
			t.Errorf("from %s: %v", ok, err)
		}
	}
	for _, bad := range []netip.Addr{else1, netip.MustParseAddr("::1"), {}} {
		_, err := w.Authenticate(t.Context(), k.Secret, bad)
		if e := w.wantCode("from "+bad.String(), err, sess.CodeDenied); e.Hint == "" || strings.Contains(e.Message+e.Hint, "192.0.2") {
			t.Errorf("from %s: %+v", bad, e)
		}
	}
	w.wantEvent(admin.Org, `"authenticate"`, `"refused"`, `"denied"`, else1.String())
	var in api.KeyIn
	for _, bad := range []string{"10.0.0.1/8", "example.com", ""} {
		in.Body.From = []string{bad}
		_, err := w.CreateKey(t.Context(), admin, in)
		w.wantCode("a key for "+bad, err, sess.CodeInvalid)
	}
}

// How long keys are valid is the organisation's to say, and the user's row may say less.
func TestKeyLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	admin := w.admin()
	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.SetOrgSettings(ctx, sess.Settings{KeySeconds: 7 * 86400, KeyMaxSeconds: 30 * 86400}.Text(), admin.Org)
		return err
	})
	if k := w.key(admin, nil); k.ExpiresAt.Sub(k.CreatedAt) != 7*24*time.Hour {
		t.Errorf("key = %+v", k)
	}
	if k := w.key(admin, func(in *api.KeyIn) { in.Body.TTL = 30 * 86400 }); k.ExpiresAt.Sub(k.CreatedAt) != 30*24*time.Hour {
		t.Errorf("key = %+v", k)
	}
	var in api.KeyIn
	in.Body.TTL = 30*86400 + 1
	_, err := w.CreateKey(t.Context(), admin, in)
	if e := w.wantCode("a key for longer", err, sess.CodeInvalid); !strings.Contains(e.Message, "30 days") {
		t.Errorf("message = %q", e.Message)
	}
}

func (w *world) machineUser(who sess.Principal, name string, role sess.Role, project string) (api.Machine, error) {
	var in api.MachineIn
	in.Body.Name, in.Body.Role, in.Body.Project = name, role, project
	return w.CreateMachine(w.t.Context(), who, in)
}

func TestMachineUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	admin := w.admin()
	m := must[api.Machine](w, "machine")(w.machineUser(admin, "ci-deploy", sess.RoleOperator, "default"))
	if len(m.Grants) != 1 || m.Grants[0] != (api.GrantOut{Role: sess.RoleOperator, Project: "default"}) {
		t.Errorf("machine = %+v", m)
	}
	for range 3 {
		k := w.key(admin, func(in *api.KeyIn) { in.Body.User = "ci-deploy" })
		if who := w.who(k.Secret); who.User != m.User || who.UserKind != sess.UserMachine {
			t.Errorf("principal = %+v", who)
		}
	}
	if l := must[api.KeyList](w, "list")(w.ListKeys(t.Context(), admin, api.KeysIn{User: string(m.User)})); len(l.Items) != 3 {
		t.Errorf("keys = %+v", l.Items)
	}
	for what, try := range map[string]struct {
		name, project string
		role          sess.Role
		code          sess.Code
	}{
		"a name that is taken": {"ci-deploy", "", "", sess.CodeConflict},
		"a person's name":      {adminEmail, "", "", sess.CodeInvalid},
		"no name":              {"", "", "", sess.CodeInvalid},
		"an unknown role":      {"x", "", "root", sess.CodeInvalid},
		"an unknown project":   {"x", "nowhere", sess.RoleOperator, sess.CodeNotFound},
		"a project, no role":   {"x", "default", "", sess.CodeInvalid},
	} {
		_, err := w.machineUser(admin, try.name, try.role, try.project)
		w.wantCode(what, err, try.code)
	}
	bob := w.person(admin.Org, "bob@example.com")
	_, err := w.machineUser(bob, "x", "", "")
	w.wantCode("made by somebody without a role", err, sess.CodeDenied)
	// Nobody logs a machine user in.
	_, err = w.login("ci-deploy", "x", home)
	w.saw(err)
	if err == nil {
		t.Error("a machine user logged in")
	}
	w.wantEvent(admin.Org, `"machine:create"`, `"ci-deploy"`, `"operator"`)
}
