package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sessctl/sess/internal/sess"
)

const (
	// sqliteReaders is how many connections read at once. Reading is CPU work here, so a few suffice.
	sqliteReaders = 4
	// busyTimeout in milliseconds: nobody but us has the file open, except for an admin's sqlite3 shell or backup.
	busyTimeout = "5000"
)

func openSQLite(ctx context.Context, c Config) (*DB, error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	lock, err := LockDir(c.Dir)
	if err != nil {
		return nil, err
	}
	db := &DB{dialect: SQLite, lock: lock, log: c.Log}
	file := filepath.Join(c.Dir, "sess.db")
	if err := db.openFile(ctx, file); err != nil {
		return nil, errors.Join(explainFile(file, err), lock.Unlock())
	}
	return db, nil
}

// openFile opens the one connection that writes and the few that can only read.
func (db *DB) openFile(ctx context.Context, file string) (err error) {
	// SQLite would make it readable for everybody; what it puts beside it (-wal, -shm) follows the mode of this one.
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if db.writer, err = sql.Open("sqlite", sqliteURL(file, url.Values{
		"_txlock": {"immediate"}, // take the write lock first: no upgrade can fail later
		"_pragma": {"busy_timeout(" + busyTimeout + ")", "cache_size(-16384)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "case_sensitive_like(1)", "trusted_schema(0)"},
	})); err != nil {
		return err
	}
	db.writer.SetMaxOpenConns(1)
	db.writer.SetMaxIdleConns(1)
	// The first statement is what finds a file that is no database.
	if _, err := db.writer.ExecContext(ctx, "SELECT COUNT(*) FROM sqlite_schema"); err != nil {
		return errors.Join(err, db.writer.Close())
	}
	if db.reader, err = sql.Open("sqlite", sqliteURL(file, url.Values{
		"_pragma": {"busy_timeout(" + busyTimeout + ")", "query_only(1)", "case_sensitive_like(1)", "trusted_schema(0)"},
	})); err != nil {
		return errors.Join(err, db.writer.Close())
	}
	db.reader.SetMaxOpenConns(sqliteReaders)
	db.reader.SetMaxIdleConns(sqliteReaders)
	return nil
}

func sqliteURL(file string, q url.Values) string {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: file}).EscapedPath(), RawQuery: q.Encode()}
	return u.String()
}

// explainFile says what is wrong with the database file in words.
func explainFile(file string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return sess.Wrap(err, sess.CodeUnavailable, "no permission to open "+file, "run sess-server as the user who owns the data directory")
	}
	lite, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return fmt.Errorf("open %s: %w", file, err)
	}
	switch lite.Code() & 0xff {
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return sess.Wrap(err, sess.CodeUnavailable, file+" is damaged or no database of sess-server",
			"restore it from a backup, or choose another --data-dir to start afresh")
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return sess.Wrap(err, sess.CodeUnavailable, file+" can't be opened for writing", "check who owns the data directory, and that its file system is not read-only")
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR:
		return sess.Wrap(err, sess.CodeUnavailable, file+" can't be read or written", "check that the disk has room and works")
	case sqlite3.SQLITE_BUSY:
		return sess.Wrap(err, sess.CodeUnavailable, file+" is locked by another program", "close the program that has it open")
	}
	return fmt.Errorf("open %s: %w", file, err)
}
