// Package storetest gives tests a store: a fresh one on SQLite, on a real PostgreSQL, or on each in turn. What holds for
// the store has to hold on both, so tests of rooms that use it say Each.
package storetest

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sessctl/sess/internal/store"
)

// Each runs f twice, as subtests "sqlite" and "postgres", each with a fresh store that is closed at the end.
func Each(t *testing.T, f func(t *testing.T, db *store.DB)) {
	t.Helper()
	t.Run(string(store.SQLite), func(t *testing.T) { f(t, SQLite(t)) })
	t.Run(string(store.Postgres), func(t *testing.T) { f(t, Postgres(t)) })
}

// SQLite returns a fresh store in a directory of its own, closed when the test ends.
func SQLite(tb testing.TB) *store.DB {
	tb.Helper()
	return Open(tb, store.Config{Dir: Dir(tb)})
}

// Dir returns a data directory with a fresh store. The schema is made once in a test program and copied from then on: making it
// takes longer than most tests do.
func Dir(tb testing.TB) string {
	tb.Helper()
	b, err := sqliteFile()
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sess.db"), b, 0o600); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// sqliteFile is the file of a fresh store.
var sqliteFile = sync.OnceValues(func() (b []byte, err error) {
	dir, err := os.MkdirTemp("", "sess-store-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := create(store.Config{Dir: dir}); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "sess.db"))
})

// create makes a store and closes it.
func create(c store.Config) error {
	db, err := store.Open(context.Background(), c)
	if err != nil {
		return err
	}
	return db.Close()
}

// Postgres returns a fresh store on a real PostgreSQL, closed and dropped when the test ends: see PostgresURL.
func Postgres(tb testing.TB) *store.DB {
	tb.Helper()
	return Open(tb, store.Config{URL: freshDatabase(tb, postgres(tb), true)})
}

// Open opens the store of c and closes it when the test ends.
func Open(tb testing.TB, c store.Config) *store.DB {
	tb.Helper()
	db, err := store.Open(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

// Write is DB.Write for a test that expects it to succeed.
func Write(tb testing.TB, db *store.DB, f func(ctx context.Context, tx *store.Tx) error) {
	tb.Helper()
	if err := db.Write(tb.Context(), func(tx *store.Tx) error { return f(tb.Context(), tx) }); err != nil {
		tb.Fatal(err)
	}
}

// Read is DB.Read for a test that expects it to succeed.
func Read(tb testing.TB, db *store.DB, f func(ctx context.Context, tx *store.Tx) error) {
	tb.Helper()
	if err := db.Read(tb.Context(), func(tx *store.Tx) error { return f(tb.Context(), tx) }); err != nil {
		tb.Fatal(err)
	}
}
