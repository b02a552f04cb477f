package storetest

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/sessctl/sess/internal/store"
)

// PostgresURL returns the URL of a fresh, empty database on a real PostgreSQL; it is dropped when the test ends.
//
// The server is that of SESS_TEST_POSTGRES (the URL of a role that may create databases). Without it, scripts/postgres
// starts one that lives as long as this test program; where that is impossible the test is skipped, or fails if CI=true.
func PostgresURL(tb testing.TB) string {
	tb.Helper()
	return freshDatabase(tb, postgres(tb), false)
}

// postgres returns the URL of the server.
func postgres(tb testing.TB) string {
	tb.Helper()
	if server := os.Getenv("SESS_TEST_POSTGRES"); server != "" {
		return server
	}
	if os.Getenv("CI") == "true" {
		tb.Fatal("SESS_TEST_POSTGRES is not set: CI has to run every test on PostgreSQL too (scripts/postgres start DIR prints a URL)")
	}
	own, err := ownServer()
	if err != nil {
		tb.Skipf("\n*** NOT TESTED ON POSTGRESQL: %v\n*** set SESS_TEST_POSTGRES to the URL of one", err)
	}
	return own.url
}

// freshDatabase creates a database beside the one that server names, empty or with the schema.
func freshDatabase(tb testing.TB, server string, schema bool) string {
	tb.Helper()
	u, err := url.Parse(server)
	if err != nil {
		tb.Fatal("SESS_TEST_POSTGRES is no URL") // which may hold a password
	}
	admin, err := sql.Open("pgx", server)
	if err != nil {
		tb.Fatal(err)
	}
	name := "sess_" + strings.ToLower(rand.Text())
	create := "CREATE DATABASE " + name
	if schema {
		t, err := template(tb.Context(), admin, *u)
		if err != nil {
			tb.Fatalf("make the database that tests copy: %v", errors.Join(err, admin.Close()))
		}
		create += " TEMPLATE " + t
	}
	if _, err := admin.ExecContext(tb.Context(), create); err != nil {
		tb.Fatalf("create a database for the test: %v", errors.Join(err, admin.Close()))
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := admin.ExecContext(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Errorf("drop the test's database: %v", err)
		}
		if err := admin.Close(); err != nil {
			tb.Error(err)
		}
	})
	u.Path = "/" + name
	return u.String()
}

// template names a database with the schema and nothing else. It is made once for a schema, by whichever test program comes
// first, and stays.
func template(ctx context.Context, admin *sql.DB, u url.URL) (name string, err error) {
	if name, err = templateName(); err != nil {
		return "", err
	}
	one, err := admin.Conn(ctx) // that holds the lock
	if err != nil {
		return "", err
	}
	defer one.Close()
	if _, err := one.ExecContext(ctx, "SELECT pg_advisory_lock(hashtext('sess test template'))"); err != nil {
		return "", err
	}
	defer func() {
		_, e := one.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock(hashtext('sess test template'))")
		err = errors.Join(err, e)
	}()
	var there bool
	if err := one.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil || there {
		return name, err
	}
	begun := name + "_begun" // a database that has the name is whole
	for _, q := range []string{"DROP DATABASE IF EXISTS " + begun + " WITH (FORCE)", "CREATE DATABASE " + begun} {
		if _, err := one.ExecContext(ctx, q); err != nil {
			return "", err
		}
	}
	u.Path = "/" + begun
	if err := create(store.Config{URL: u.String()}); err != nil {
		return "", err
	}
	_, err = one.ExecContext(ctx, "ALTER DATABASE "+begun+" RENAME TO "+name)
	return name, err
}

// templateName is of the migrations as they are.
var templateName = sync.OnceValues(func() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(root, "internal", "store", "migrations", "*.sql"))
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", filepath.Base(f), len(b), b)
	}
	return fmt.Sprintf("sess_template_%x", h.Sum(nil)[:8]), nil
})

// running is the server of this test program.
type running struct {
	url   string
	stdin io.Closer // the server lives as long as this is open, so it must not be collected
}

// ownServer starts the PostgreSQL that all tests of this program share, at the first call. It ends when this program
// does, however that happens: scripts/postgres waits for the end of the pipe that only we hold open.
var ownServer = sync.OnceValues(func() (*running, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sess-postgres-") // the script removes it
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(root, "scripts", "postgres"), "run", dir, "-c", "fsync=off")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("scripts/postgres: %w", err), cmd.Wait(), errors.New(stderr.String()))
	}
	return &running{url: strings.TrimSpace(line), stdin: stdin}, nil
})

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = up
	}
}
