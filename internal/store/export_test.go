package store

import (
	"database/sql"

	"github.com/pressly/goose/v3"
)

// For the tests of this package only.

// SQL gives the transaction beneath, for statements that are no queries of ours.
func (tx *Tx) SQL() *sql.Tx { return tx.tx }

// Migrations gives the migrator.
func (db *DB) Migrations() (*goose.Provider, error) { return db.migrations() }

// MaxAttempts bounds how often Write runs a transaction.
const MaxAttempts = maxAttempts
