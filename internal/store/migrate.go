package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
	gooselock "github.com/pressly/goose/v3/lock"

	"github.com/sessctl/sess/internal/sess"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// Waiting for another server that migrates: every second, so many times.
const migrateTries = 300

// migrate brings the schema up to date, or says why it can't.
func (db *DB) migrate(ctx context.Context) error {
	p, err := db.migrations()
	if err != nil {
		return err
	}
	current, known, err := p.GetVersions(ctx)
	if err != nil {
		return explainMigration(err)
	}
	if current > known {
		return sess.New(sess.CodeUnavailable, fmt.Sprintf("the database has schema version %d, and this sess-server knows versions up to %d", current, known),
			"run the newer sess-server that made it, or restore a backup from before the upgrade")
	}
	done, err := p.Up(ctx)
	if err != nil {
		return explainMigration(err)
	}
	for _, m := range done {
		db.log.InfoContext(ctx, "schema migrated", "version", m.Source.Version, "took", m.Duration)
	}
	return nil
}

// migrations returns the migrator. Closing it would close the database, so nobody does.
func (db *DB) migrations() (*goose.Provider, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	opts := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true), goose.WithSlog(slog.New(slog.DiscardHandler))}
	dialect := goose.DialectSQLite3
	if db.dialect == Postgres {
		dialect = goose.DialectPostgres
		lock, err := gooselock.NewPostgresSessionLocker(gooselock.WithLockTimeout(1, migrateTries))
		if err != nil {
			return nil, fmt.Errorf("prepare migrations: %w", err)
		}
		opts = append(opts, goose.WithSessionLocker(lock))
	}
	p, err := goose.NewProvider(dialect, db.writer, files, opts...)
	if err != nil {
		return nil, fmt.Errorf("prepare migrations: %w", err)
	}
	return p, nil
}

func explainMigration(err error) error {
	if partial, ok := errors.AsType[*goose.PartialError](err); ok {
		return sess.Wrap(err, sess.CodeUnavailable, fmt.Sprintf("the database could not be brought to schema version %d", partial.Failed.Source.Version),
			"nothing of that step was kept; the server's log has the cause")
	}
	return fmt.Errorf("migrate the database: %w", err)
}
