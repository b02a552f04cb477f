package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

var errNo = errors.New("no")

func addOrg(ctx context.Context, tx *store.Tx, id sess.OrgID) error {
	n, err := tx.CreateOrg(ctx, id, "name of "+string(id), 1)
	if err == nil && n != 1 {
		err = fmt.Errorf("created %d orgs", n)
	}
	return err
}

func hasOrg(t *testing.T, db *store.DB, id sess.OrgID) bool {
	t.Helper()
	err := db.Read(t.Context(), func(tx *store.Tx) error {
		_, err := tx.GetOrg(t.Context(), id)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func TestHooksRunAfterCommitOnly(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var ran []int
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			tx.AfterCommit(func() {
				if !hasOrg(t, db, "org_1") {
					t.Error("a hook ran before the commit")
				}
				ran = append(ran, 1)
			})
			tx.AfterCommit(func() { ran = append(ran, 2) })
			return addOrg(ctx, tx, "org_1")
		})
		if !slices.Equal(ran, []int{1, 2}) {
			t.Errorf("hooks ran as %v, want [1 2]", ran)
		}
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			tx.AfterCommit(func() { t.Error("a hook ran after a rollback") })
			return errors.Join(addOrg(t.Context(), tx, "org_2"), errNo)
		})
		if !errors.Is(err, errNo) {
			t.Errorf("Write = %v, want the function's error", err)
		}
		if hasOrg(t, db, "org_2") {
			t.Error("what was rolled back is there")
		}
	})
}

func TestCancelledWriteChangesNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Write(ctx, func(tx *store.Tx) error {
			err := addOrg(ctx, tx, "org_1")
			cancel()
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Write = %v, want context.Canceled", err)
		}
		if hasOrg(t, db, "org_1") {
			t.Error("what was cancelled is there")
		}
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error { return addOrg(ctx, tx, "org_2") }) // nothing is stuck
	})
}

func TestPanicRollsBack(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		func() {
			defer func() { _ = recover() }()
			_ = db.Write(t.Context(), func(tx *store.Tx) error {
				_ = addOrg(t.Context(), tx, "org_1")
				panic("in a transaction")
			})
		}()
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error { return addOrg(ctx, tx, "org_2") })
		if hasOrg(t, db, "org_1") {
			t.Error("what panicked is there")
		}
	})
}

func TestReadCanNotWrite(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		err := db.Read(t.Context(), func(tx *store.Tx) error { return addOrg(t.Context(), tx, "org_1") })
		if err == nil || hasOrg(t, db, "org_1") {
			t.Errorf("Read wrote: %v", err)
		}
		if err := db.Read(t.Context(), func(tx *store.Tx) error { return tx.Lock(t.Context(), "x") }); err == nil {
			t.Error("Lock in Read succeeded")
		}
	})
}

// A Read sees one state throughout, and doesn't wait for the writer in between.
func TestReadSeesOneState(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error { return addOrg(ctx, tx, "org_1") })
		storetest.Read(t, db, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.GetOrg(ctx, "org_1"); err != nil { // the state is that of the first statement
				return err
			}
			storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error { return addOrg(ctx, tx, "org_2") })
			if _, err := tx.GetOrg(ctx, "org_2"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the reader sees what was written meanwhile: %v", err)
			}
			return nil
		})
	})
}

func TestNotFoundSurvives(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		err := db.Read(t.Context(), func(tx *store.Tx) error {
			_, err := tx.GetOrg(t.Context(), "org_none")
			return fmt.Errorf("look: %w", err)
		})
		if !errors.Is(err, store.ErrNotFound) || !errors.Is(err, sess.ErrNotFound) || sess.Public(err).Code != sess.CodeNotFound {
			t.Errorf("Read = %v, want not found by both names", err)
		}
		own := sess.New(sess.CodeOffline, "mine", "")
		if err := db.Read(t.Context(), func(*store.Tx) error { return own }); !errors.Is(err, sess.ErrOffline) || errors.Is(err, sess.ErrNotFound) {
			t.Errorf("Read = %v, want the function's own error", err)
		}
	})
}

func TestIsUnique(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error { return addOrg(ctx, tx, "org_1") })
		primary := db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.CreateOrg(t.Context(), "org_1", "another", 1)
			return err
		})
		foreign := db.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateProject(t.Context(), "org_none", "prj", "p", 1) })
		if !store.IsUnique(primary) || store.IsUnique(foreign) || foreign == nil || store.IsUnique(nil) {
			t.Errorf("IsUnique(%v) = %t, IsUnique(%v) = %t", primary, store.IsUnique(primary), foreign, store.IsUnique(foreign))
		}
	})
}

// What the two databases take differently unless told: LIKE in lower and upper case, and what no text may hold.
func TestTextIsTheSame(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, on := range []func(context.Context, func(*store.Tx) error) error{db.Write, db.Read} {
			err := on(t.Context(), func(tx *store.Tx) error {
				var n int
				err := tx.SQL().QueryRowContext(t.Context(), "SELECT CASE WHEN 'Ab' LIKE 'a%' THEN 1 WHEN 'Ab' LIKE 'A%' THEN 2 ELSE 3 END").Scan(&n)
				if n != 2 {
					t.Errorf("LIKE says %d, want 2: only the same case matches", n)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
		if db.Dialect() == store.Postgres {
			err := db.Write(t.Context(), func(tx *store.Tx) error { return addOrg(t.Context(), tx, "a\x00b") })
			if !errors.Is(err, sess.ErrInvalid) {
				t.Errorf("a NUL in a text: %v, want invalid", err)
			}
		}
	})
}

// Two transactions that change the same two rows in opposite order: PostgreSQL ends one of them, and Write runs it again.
func TestDeadlockIsRunAgain(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	w := []sess.OrgID{"org_1", "org_2"}
	storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(addOrg(ctx, tx, w[0]), addOrg(ctx, tx, w[1]), tx.CreateProject(ctx, w[0], "prj", "0", 1), tx.CreateProject(ctx, w[1], "prj", "0", 1))
	})
	var runs, hooks [2]int
	var first sync.WaitGroup // both have changed their first row
	first.Add(2)
	var done sync.WaitGroup
	for i := range 2 {
		done.Go(func() {
			err := db.Write(t.Context(), func(tx *store.Tx) error {
				runs[i]++
				tx.AfterCommit(func() { hooks[i]++ })
				if err := touch(t.Context(), tx, w[i]); err != nil {
					return err
				}
				if runs[i] == 1 {
					first.Done()
					first.Wait()
				}
				return touch(t.Context(), tx, w[1-i])
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	if runs[0]+runs[1] != 3 || hooks != [2]int{1, 1} {
		t.Errorf("ran %v times with %v hooks, want 3 runs in all and one hook each", runs, hooks)
	}
}

func touch(ctx context.Context, tx *store.Tx, org sess.OrgID) error {
	_, err := tx.SQL().ExecContext(ctx, "UPDATE project SET created_at = created_at + 1 WHERE org = $1", string(org))
	return err
}

// A transaction that always loses is given up, with an error that people understand.
func TestRetriesAreBounded(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	runs := 0
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		runs++
		_, err := tx.SQL().ExecContext(t.Context(), "DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END $$")
		return err
	})
	if !errors.Is(err, sess.ErrUnavailable) || runs != store.MaxAttempts {
		t.Errorf("Write = %v after %d runs, want unavailable after %d", err, runs, store.MaxAttempts)
	}
}

// A connection that its admin cut is an outage, not a defect, and the next transaction gets a fresh one.
func TestLostConnection(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.SQL().ExecContext(t.Context(), "SELECT pg_terminate_backend(pg_backend_pid())")
		return err
	})
	if !errors.Is(err, sess.ErrUnavailable) {
		t.Errorf("Write = %v, want unavailable", err)
	}
	storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error { return addOrg(ctx, tx, "org_1") })
}

// Lock keeps two read-then-write transactions apart, where READ COMMITTED alone would let both read the old state.
func TestLock(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error { return addOrg(ctx, tx, "org_1") })
		const workers, each = 8, 5
		var done sync.WaitGroup
		for range workers {
			done.Go(func() {
				for range each {
					err := db.Write(t.Context(), func(tx *store.Tx) error {
						if err := tx.Lock(t.Context(), "counter"); err != nil {
							return err
						}
						var n int64
						if err := tx.SQL().QueryRowContext(t.Context(), "SELECT created_at FROM org WHERE id = 'org_1'").Scan(&n); err != nil {
							return err
						}
						_, err := tx.SQL().ExecContext(t.Context(), "UPDATE org SET created_at = $1 WHERE id = 'org_1'", n+1)
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		done.Wait()
		storetest.Read(t, db, func(ctx context.Context, tx *store.Tx) error {
			org, err := tx.GetOrg(ctx, "org_1")
			if org.CreatedAt != 1+workers*each {
				t.Errorf("counted %d, want %d", org.CreatedAt-1, workers*each)
			}
			return err
		})
	})
}

// Many hold a lock shared at once; whoever wants it alone waits for all of them.
func TestLockShared(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	const sharers = 3
	var in sync.WaitGroup // all hold it
	in.Add(sharers)
	var left [sharers]bool
	var done sync.WaitGroup
	asked := make(chan struct{})
	for i := range sharers {
		done.Go(func() {
			err := db.Write(t.Context(), func(tx *store.Tx) error {
				if err := tx.LockShared(t.Context(), "x"); err != nil {
					return err
				}
				in.Done()
				in.Wait()
				<-asked
				left[i] = true
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	in.Wait()
	storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
		var free bool
		if err := tx.SQL().QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock(hashtext('other'))").Scan(&free); err != nil || !free {
			t.Errorf("another name is locked: %v", err)
		}
		close(asked)
		if err := tx.Lock(ctx, "x"); err != nil {
			return err
		}
		if left != [sharers]bool{true, true, true} {
			t.Errorf("got the lock while others held it: %v", left)
		}
		return nil
	})
	done.Wait()
}
