package store

import (
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sessctl/sess/internal/sess"
)

// ErrNotFound is what a query for one row returns when there is none. Out of Write and Read it also matches
// sess.ErrNotFound; say in a *sess.Error of your own what was not found.
var ErrNotFound = sql.ErrNoRows

// PostgreSQL's SQLSTATE codes that matter here.
const (
	pgUnique        = "23505"
	pgSerialization = "40001"
	pgDeadlock      = "40P01"
)

// IsUnique reports whether err says that a row with these unique values exists already. The transaction is lost then:
// ask outside of it.
func IsUnique(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == pgUnique
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return false
}

// again reports whether the transaction that ended with err did nothing and may succeed when it is run again.
func again(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == pgSerialization || pg.Code == pgDeadlock
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return lite.Code()&0xff == sqlite3.SQLITE_BUSY
	}
	return false
}

// public gives a bare ErrNotFound the code that survives the network.
func public(err error) error {
	if _, ok := errors.AsType[*sess.Error](err); ok || !errors.Is(err, ErrNotFound) {
		return err
	}
	return sess.Wrap(err, sess.CodeNotFound, "no such thing", "")
}
