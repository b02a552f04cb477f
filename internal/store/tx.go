package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// maxAttempts bounds how often a write transaction that lost against another one is run again.
const maxAttempts = 8

// Tx is one transaction: the queries, and what belongs to a transaction as a whole. It is for one goroutine and is void
// once the function that got it returns.
type Tx struct {
	*Queries

	tx      *sql.Tx
	dialect Dialect
	write   bool
	after   []func()
}

// AfterCommit has f called, in order of registration and before Write returns, once the transaction is committed; never
// when it is not, and only once when it had to be run again. f must not block for long.
func (tx *Tx) AfterCommit(f func()) { tx.after = append(tx.after, f) }

// Lock waits until no other transaction holds name, and holds it until the end of this one. Take it before reading what
// it guards. SQLite's writers run one at a time anyway, so there it does nothing.
func (tx *Tx) Lock(ctx context.Context, name string) error {
	return tx.lock(ctx, "SELECT pg_advisory_xact_lock($1)", name)
}

// LockShared is Lock that many may hold at once, as long as nobody holds it by Lock.
func (tx *Tx) LockShared(ctx context.Context, name string) error {
	return tx.lock(ctx, "SELECT pg_advisory_xact_lock_shared($1)", name)
}

func (tx *Tx) lock(ctx context.Context, query, name string) error {
	if !tx.write {
		return errors.New("lock in a transaction that only reads")
	}
	if tx.dialect != Postgres {
		return nil
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	//nolint:gosec // the same 64 bits, read as a signed number
	if _, err := tx.tx.ExecContext(ctx, query, int64(h.Sum64())); err != nil {
		return fmt.Errorf("lock %s: %w", name, err)
	}
	return nil
}

// Write runs f in a transaction and commits it when f returns nil. f may be run several times (PostgreSQL: a deadlock, a
// serialisation failure), so what it does besides calling tx must bear that: put it into AfterCommit. It must not call
// Write or Read of the same DB. When ctx ends, the transaction is rolled back.
//
// On SQLite writers run one after the other. On PostgreSQL they run at once, at READ COMMITTED: each statement sees what
// is committed when it starts, and a conditional UPDATE waits for others on its row and looks at the condition again.
//
// The error of f comes back as it is, except that a bare ErrNotFound matches sess.ErrNotFound too. A commit whose answer
// was lost is reported as an error though it may have happened.
func (db *DB) Write(ctx context.Context, f func(*Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := db.run(ctx, db.writer, nil, true, f)
		if err == nil || !again(err) {
			return public(err)
		}
		if attempt == maxAttempts {
			db.log.WarnContext(ctx, "transaction given up", "attempts", attempt, "err", err)
			return unavailable(err)
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// Read runs f in a transaction that sees one state of the database throughout and can't change it. It waits for no
// writer. f runs once.
func (db *DB) Read(ctx context.Context, f func(*Tx) error) error {
	opts := &sql.TxOptions{ReadOnly: true}
	if db.dialect == Postgres {
		opts.Isolation = sql.LevelRepeatableRead
	}
	return public(db.run(ctx, db.reader, opts, false, f))
}

func (db *DB) run(ctx context.Context, on *sql.DB, opts *sql.TxOptions, write bool, f func(*Tx) error) error {
	sqlTx, err := on.BeginTx(ctx, opts)
	if err != nil {
		if ctx.Err() != nil || again(err) {
			return fmt.Errorf("begin: %w", err)
		}
		return unavailable(err)
	}
	defer func() { _ = sqlTx.Rollback() }() // after a commit it does nothing
	tx := &Tx{Queries: New(sqlTx), tx: sqlTx, dialect: db.dialect, write: write}
	if err := f(tx); err != nil {
		return err
	}
	if err := sqlTx.Commit(); err != nil {
		if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
			err = context.Cause(ctx) // it was rolled back for this
		}
		return fmt.Errorf("commit: %w", err)
	}
	for _, after := range tx.after {
		after()
	}
	return nil
}

// pause waits a random time that grows with the attempts, so that those who collided don't do so again.
func pause(ctx context.Context, attempt int) error {
	t := time.NewTimer(time.Duration(rand.Int64N(int64(2*time.Millisecond) << attempt))) //nolint:gosec // nothing secret
	defer t.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("repeat transaction: %w", context.Cause(ctx))
	case <-t.C:
		return nil
	}
}
