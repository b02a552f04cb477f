package store

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sessctl/sess/internal/sess"
)

// ErrNotFound is what a query for one row returns when there is none. Out of Write and Read it also matches
// sess.ErrNotFound; say in a *sess.Error of your own what was not found.
var ErrNotFound = sql.ErrNoRows

// PostgreSQL's SQLSTATE codes that matter here; two characters are a class of them.
const (
	pgUnique        = "23505"
	pgSerialization = "40001"
	pgDeadlock      = "40P01"
	pgBadText       = "22021" // a NUL, or no UTF-8; SQLite takes both
	pgConnection    = "08"
	pgResources     = "53" // disk full, out of memory, too many connections
	pgOperator      = "57" // shut down, starting up, cancelled by its admin
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

// public gives errors the code that survives the network, where there is something to tell: a bare ErrNotFound, text that
// can't be kept, and a database that is full, broken or away. Everything else is as it was.
func public(err error) error {
	if _, ok := errors.AsType[*sess.Error](err); ok || err == nil {
		return err
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return sess.Wrap(err, sess.CodeNotFound, "no such thing", "")
	case outage(err):
		return unavailable(err)
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == pgBadText {
		return sess.Wrap(err, sess.CodeInvalid, "a text holds a NUL byte or is not UTF-8", "leave that character out")
	}
	return err
}

// outage reports whether err is about the database as a whole and not about what it was asked.
func outage(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return slices.Contains([]string{pgConnection, pgResources, pgOperator}, pg.Code[:min(2, len(pg.Code))])
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return slices.Contains([]int{
			sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB,
			sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY,
		}, lite.Code()&0xff)
	}
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}

func unavailable(err error) error {
	return sess.Wrap(err, sess.CodeUnavailable, "the database does not answer as it should", "try again in a moment; the server's log has the cause")
}
