// Package store keeps what identity, broker and audit persist, in SQLite (one server, one directory) or PostgreSQL
// (several servers): one schema (migrations/*.sql) and one set of queries (queries/*.sql, typed by sqlc) for both.
//
// The rules that keep it one set:
//   - Every statement runs unchanged on both. So: parameters are $1, $2, …; no now(), ILIKE, ->>, SKIP LOCKED, FOR
//     UPDATE, STRICT; casts are CAST(x AS BIGINT) and CAST(x AS TEXT); times are microseconds (Micros), booleans 0 or 1.
//   - Every query on a table that has an org takes the org. The exceptions (secrets looked up by their hash) are listed,
//     with their reasons, in static_test.go; TestTenancy tries every query with another organisation's rows.
//   - A statement that fails spoils its transaction (PostgreSQL refuses all that follows): say ON CONFLICT DO NOTHING
//     and look at the count instead of catching a conflict.
//   - What must happen once is a conditional UPDATE whose count is looked at (… SET used_at = $1 WHERE … AND used_at IS
//     NULL), never a SELECT followed by an UPDATE: on PostgreSQL other transactions run in between. Where that is not
//     enough, Tx.Lock and Tx.LockShared.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
)

// Dialect says which database a DB is.
type Dialect string

// The databases.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// Config says where the state is: exactly one of Dir and URL.
type Config struct {
	// Dir is the data directory; the database is DIR/sess.db. It is created (mode 0700) if it is missing, and locked
	// (DIR/lock) against other servers until Close.
	Dir string
	// URL is "postgres://user@host/database?…", as libpq understands it.
	URL string
	// MaxConns bounds the connections to PostgreSQL; 0: DefaultMaxConns.
	MaxConns int
	// Log receives what goes on beneath (migrations that ran, transactions given up); nil: nothing.
	Log *slog.Logger
}

// DefaultMaxConns is how many connections to PostgreSQL one server opens at most.
const DefaultMaxConns = 16

// DB is the open store. Its methods may be called from any goroutine.
type DB struct {
	dialect Dialect
	writer  *sql.DB // SQLite: one connection, so that writes queue here and not on the file's lock
	reader  *sql.DB // the same as writer on PostgreSQL
	lock    *DirLock
	log     *slog.Logger
}

// Open opens the store that c names, creates it if it is empty, and brings its schema up to date (on PostgreSQL under an
// advisory lock, so that several servers may start at once). What goes wrong for a reason that an admin can do something
// about is a *sess.Error: the directory is in use, the file is no database, its schema is newer than this program,
// PostgreSQL can't be reached. ctx bounds opening only.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MaxConns <= 0 {
		c.MaxConns = DefaultMaxConns
	}
	var db *DB
	var err error
	switch {
	case (c.Dir == "") == (c.URL == ""):
		return nil, errors.New("open store: give exactly one of a directory and a database URL")
	case c.Dir != "":
		db, err = openSQLite(ctx, c)
	default:
		db, err = openPostgres(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	if err := db.migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Dialect says which database this is: for messages and metrics, never to choose a statement.
func (db *DB) Dialect() Dialect { return db.dialect }

// Ping checks that the database answers.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.reader.PingContext(ctx); err != nil {
		return unavailable(err)
	}
	return nil
}

// Close closes all connections and lets go of the directory. Transactions must be over.
func (db *DB) Close() error {
	var err error
	if db.reader != db.writer {
		err = db.reader.Close()
	}
	err = errors.Join(err, db.writer.Close()) // last, so that it can tidy up the write-ahead log
	if db.lock != nil {
		err = errors.Join(err, db.lock.Unlock())
	}
	if err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}
