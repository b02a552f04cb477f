package identity_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

func lockIn(kind sess.LockKind, target string, ttl time.Duration, force bool) api.LockIn {
	var in api.LockIn
	in.Body.Kind, in.Body.Target, in.Body.TTL, in.Body.Force, in.Body.Reason = kind, target, int64(ttl/time.Second), force, "INC-7"
	return in
}

func (w *world) lock(who sess.Principal, kind sess.LockKind, target string) api.Lock {
	w.t.Helper()
	return must[api.Lock](w, "lock")(w.AddLock(w.t.Context(), who, lockIn(kind, target, 0, false)))
}

func (w *world) unlock(who sess.Principal, id sess.LockID) error {
	return w.saw(w.RemoveLock(w.t.Context(), who, api.LockRef{Lock: id}))
}

// A lock without an end never leaves an organisation without an admin who can lift it; one that bars its maker is meant, or not
// put.
func TestLocksKeepAnAdmin(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		robot := w.machine(ada, "robot", sess.RoleAdmin)
		lock := func(who sess.Principal, in api.LockIn) error {
			_, err := w.AddLock(t.Context(), who, in)
			return w.saw(err)
		}
		want := func(what string, err error, says string) {
			t.Helper()
			if e := w.wantCode(what, err, sess.CodeConflict); e != nil && !strings.Contains(e.Message, says) {
				t.Errorf("%s: %s, want %q", what, e.Message, says)
			}
		}
		w.group(ada, "ops", ada.Name)
		want("oneself", lock(ada, lockIn(sess.LockUser, ada.Name, 0, false)), "lock you out yourself")
		want("oneself, for a time, without force", lock(ada, lockIn(sess.LockUser, ada.Name, time.Hour, false)), "lock you out yourself")
		want("oneself, for good", lock(ada, lockIn(sess.LockUser, ada.Name, 0, true)), "for good")
		want("one's own group", lock(ada, lockIn(sess.LockGroup, "ops", 0, false)), "lock you out yourself")
		want("one's own address", lock(ada, lockIn(sess.LockAddress, home.String(), 0, true)), "for good")
		want("the network one is in", lock(ada, lockIn(sess.LockAddress, "192.0.0.0/20", 0, false)), "lock you out yourself")
		want("the last admin, by a program", lock(robot, lockIn(sess.LockUser, ada.Name, 0, true)), "the last admin")
		want("the last admin's group, by a program", lock(robot, lockIn(sess.LockGroup, "ops", 0, true)), "the last admin")

		bob := w.join(ada, "bob@example.com", sess.RoleAdmin)
		if bob == "" {
			t.Fatal("bob did not join")
		}
		for range 2 { // a lock that ends by itself leaves him an admin
			if err := lock(ada, lockIn(sess.LockUser, "bob@example.com", time.Hour, false)); err != nil {
				t.Fatal(err)
			}
		}
		first := w.lock(robot, sess.LockGroup, "ops")
		want("the other admin, when the first is locked", lock(robot, lockIn(sess.LockUser, "bob@example.com", 0, true)), "the last admin")
		if err := w.unlock(robot, first.ID); err != nil {
			t.Fatal(err)
		}
		w.lock(robot, sess.LockUser, "bob@example.com")
		want("the first admin, when the other is locked", lock(robot, lockIn(sess.LockGroup, "ops", 0, true)), "the last admin")
	})
}

// An admin who is locked for good is none when the others are taken away.
func TestWhoIsLockedIsNoLastAdmin(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		robot := w.machine(ada, "robot", sess.RoleAdmin)
		w.join(ada, "bob@example.com", sess.RoleAdmin)
		of := w.lock(robot, sess.LockUser, "bob@example.com")
		w.group(robot, "leavers")
		w.lock(robot, sess.LockGroup, "leavers")
		ctx := t.Context()
		deactivate := func() error { return w.saw(w.DeactivateUser(ctx, robot, api.UserRef{User: ada.Name})) }
		w.wantCode("deactivate the admin who is not locked", deactivate(), sess.CodeConflict)
		w.wantCode("delete them", w.saw(w.DeleteUser(ctx, robot, api.UserRef{User: ada.Name})), sess.CodeConflict)
		w.wantCode("put them into a group that is locked", w.saw(w.AddToGroup(ctx, robot, inGroup("leavers", ada.Name))), sess.CodeConflict)
		if err := w.AddToGroup(ctx, robot, inGroup("leavers", "bob@example.com")); err != nil {
			t.Error("somebody locked can be put there:", err)
		}
		if err := w.DropOfGroup(ctx, robot, inGroup("leavers", "bob@example.com")); err != nil {
			t.Error(err)
		}
		if err := w.unlock(robot, of.ID); err != nil {
			t.Fatal(err)
		}
		if err := deactivate(); err != nil {
			t.Error("with the other let in again:", err)
		}
	})
}

// The admin of a project locks what is in it and lifts that, but not what an admin of the organisation put there, and nothing
// else.
func TestProjectAdminDoesNotLiftAnOrgAdminsLock(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		w.project(ada, "other")
		w.enrol(w.token(ada, 1, nil).Secret, "web-1")
		pat := w.member(ada.Org, "pat@example.com")
		w.give(ada, pat.Name, "", sess.RoleProjectAdmin, "default")
		theirs, project := w.lock(ada, sess.LockInstance, "web-1"), w.lock(ada, sess.LockProject, "default")
		for what, id := range map[string]sess.LockID{"instance": theirs.ID, "project": project.ID} {
			e := w.wantCode("lift an org admin's lock on the "+what, w.unlock(pat, id), sess.CodeDenied)
			if !strings.Contains(e.Message, "an admin of the organisation put this lock") || !strings.Contains(e.Hint, ada.Name) {
				t.Errorf("%s: %s (%s)", what, e.Message, e.Hint)
			}
		}
		own := w.lock(pat, sess.LockInstance, "web-1")
		if err := w.unlock(pat, own.ID); err != nil {
			t.Error("one's own:", err)
		}
		byAda := w.lock(pat, sess.LockProject, "default")
		if err := w.unlock(ada, byAda.ID); err != nil {
			t.Error("by an org admin:", err)
		}
		for what, in := range map[string]api.LockIn{
			"a user": lockIn(sess.LockUser, ada.Name, time.Hour, false), "an address": lockIn(sess.LockAddress, "203.0.113.9", 0, false),
			"the organisation": lockIn(sess.LockOrg, "", 0, false),
		} {
			_, err := w.AddLock(t.Context(), pat, in)
			w.wantCode("lock "+what, w.saw(err), sess.CodeDenied)
		}
		_, err := w.AddLock(t.Context(), pat, lockIn(sess.LockProject, "other", 0, false))
		w.wantCode("lock another project", w.saw(err), sess.CodeNotFound)
		w.wantCode("lift another organisation's", w.unlock(w.otherOrg(), theirs.ID), sess.CodeNotFound)
	})
}

// The admin of a project who has put many locks takes none from the organisation: a thief can be locked out all the same.
func TestAdminsOfProjectsLeaveLocksToOthers(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		pat := w.member(ada.Org, "pat@example.com")
		w.give(ada, pat.Name, "", sess.RoleProjectAdmin, "default")
		w.lock(pat, sess.LockProject, "default")
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			for range 999 {
				n, err := tx.CountLocks(ctx, ada.Org)
				if err != nil || n >= 500 {
					return err
				}
				err = tx.InsertLock(ctx, store.InsertLockParams{
					Org: ada.Org, ID: sess.NewLockID(), Kind: sess.LockProject, Target: "prj_x", Name: "x", Project: "prj_x", MadeBy: pat.Name, CreatedAt: n + 1,
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		_, err := w.AddLock(t.Context(), pat, lockIn(sess.LockProject, "default", 0, false))
		w.wantCode("one more lock of a project's admin", w.saw(err), sess.CodeLimited)
		thief := w.member(ada.Org, "thief@example.com")
		w.lock(ada, sess.LockUser, thief.Name)
	})
}

// What the owner of the box locks, nobody in an organisation lifts; the owner lifts anything, also what an organisation did to
// itself.
func TestLocksOfTheBox(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		eve := w.otherOrg()
		ctx := t.Context()
		org := must[api.Org](w, "organisation")(w.GetOrg(ctx, ada))
		whole, err := w.LockBox(ctx, sess.LockOrg, org.Name, "unpaid", 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Whoami(ctx, ada)
		if e := w.wantCode("an org admin", w.saw(err), sess.CodeLocked); !strings.Contains(e.Hint, "the owner of the server put it") {
			t.Errorf("hint: %s", e.Hint)
		}
		w.wantCode("lift it from inside", w.unlock(ada, whole.ID), sess.CodeLocked)
		w.wantCode("from another organisation", w.unlock(eve, whole.ID), sess.CodeNotFound)
		must[api.WhoamiOut](w, "another organisation")(w.Whoami(ctx, eve))
		if err := w.UnlockBox(ctx, whole.ID); err != nil {
			t.Fatal(err)
		}
		must[api.WhoamiOut](w, "once lifted")(w.Whoami(ctx, ada))

		net, err := w.LockBox(ctx, sess.LockAddress, "::ffff:"+home.String(), "scanner", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		for _, who := range []sess.Principal{ada, eve} {
			_, err := w.Whoami(ctx, who)
			w.wantCode("by address", w.saw(err), sess.CodeLocked)
		}
		w.pass(time.Hour)
		must[api.WhoamiOut](w, "when its time is up")(w.Whoami(ctx, eve))
		_ = net

		inside := w.lock(ada, sess.LockOrg, "")
		if err := w.UnlockBox(ctx, inside.ID); err != nil {
			t.Error("the owner lifts an organisation's own:", err)
		}
		w.wantEvent(ada.Org, `"lock:remove"`, string(inside.ID))
		w.wantCode("what is lifted", w.unlock(ada, inside.ID), sess.CodeNotFound)
	})
}
