package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/sessctl/sess/internal/sess"
)

const (
	// connectTimeout bounds one attempt to reach PostgreSQL, unless the URL has its own connect_timeout.
	connectTimeout = 10 * time.Second
	// connIdle is how long a connection that nobody needs is kept.
	connIdle = 5 * time.Minute
	// connLife bounds the age of a connection, so that those to a server that was replaced behind its name die out.
	connLife = time.Hour
)

func openPostgres(ctx context.Context, c Config) (*DB, error) {
	cfg, err := pgx.ParseConfig(c.URL)
	if err != nil {
		// The cause may quote the URL; pgx leaves the password out of it.
		return nil, sess.Wrap(err, sess.CodeInvalid, "the database URL is not valid", "it looks like postgres://user@host:5432/database")
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "sess-server"
	}
	// Nobody may hold locks for ever because a process hangs; and every commit counts.
	cfg.RuntimeParams["idle_in_transaction_session_timeout"] = "60s"
	cfg.RuntimeParams["default_transaction_isolation"] = "read committed"
	pool := stdlib.OpenDB(*cfg)
	pool.SetMaxOpenConns(c.MaxConns)
	pool.SetMaxIdleConns(c.MaxConns)
	pool.SetConnMaxIdleTime(connIdle)
	pool.SetConnMaxLifetime(connLife)
	if err := pool.PingContext(ctx); err != nil {
		at := fmt.Sprintf("%s:%d, database %q, user %q", cfg.Host, cfg.Port, cfg.Database, cfg.User)
		return nil, errors.Join(sess.Wrap(err, sess.CodeUnavailable, "can't open PostgreSQL at "+at,
			"check that it runs, and the host, database, user and password in --database"), pool.Close())
	}
	return &DB{dialect: Postgres, writer: pool, reader: pool, log: c.Log}, nil
}
