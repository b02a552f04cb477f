// Package storetest gives tests a store: a fresh one on SQLite, on a real PostgreSQL, or on each in turn. What holds for
// the store has to hold on both, so tests of rooms that use it say Each.
package storetest

import (
	"context"
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
	return Open(tb, store.Config{Dir: tb.TempDir()})
}

// Postgres returns a fresh store on a real PostgreSQL, closed and dropped when the test ends: see PostgresURL.
func Postgres(tb testing.TB) *store.DB {
	tb.Helper()
	return Open(tb, store.Config{URL: PostgresURL(tb)})
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
