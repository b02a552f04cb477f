package store_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// refused checks that opening c fails in words for people: the code, and all of these words.
func refused(t *testing.T, c store.Config, code sess.Code, words ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	db, err := store.Open(ctx, c)
	if err == nil {
		t.Fatal("it opened", db.Close())
	}
	e, ok := errors.AsType[*sess.Error](err)
	if !ok {
		t.Fatalf("not a *sess.Error: %v", err)
	}
	if e.Code != code || e.Hint == "" {
		t.Errorf("code %q (want %q), hint %q", e.Code, code, e.Hint)
	}
	for _, w := range words {
		if !strings.Contains(e.Message+e.Hint, w) {
			t.Errorf("%q is not in: %s (%s)", w, e.Message, e.Hint)
		}
	}
	t.Logf("%s\n\thint: %s", e.Message, e.Hint)
}

func TestSecondServerOnTheDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := store.Open(t.Context(), store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	refused(t, store.Config{Dir: dir}, sess.CodeConflict, dir, "in use")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.Open(t, store.Config{Dir: dir}) // free again
}

func TestFailedOpenLetsGoOfTheDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "sess.db")
	if err := os.WriteFile(file, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, store.Config{Dir: dir}, sess.CodeUnavailable, file, "damaged", "backup")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	storetest.Open(t, store.Config{Dir: dir})
}

// A page in the middle that is damaged, not only the first one.
func TestDamagedSchemaPage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := open(t, store.Config{Dir: dir}).Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "sess.db")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 100; i < len(b); i++ { // behind the header
		b[i] = 0xff
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, store.Config{Dir: dir}, sess.CodeUnavailable, "damaged")
}

func TestNewerSchema(t *testing.T) {
	t.Parallel()
	for _, c := range []store.Config{{Dir: t.TempDir()}, {URL: storetest.PostgresURL(t)}} {
		db := open(t, c)
		t.Run(string(db.Dialect()), func(t *testing.T) {
			storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.SQL().ExecContext(ctx, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (4711, $1)", true)
				return err
			})
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			refused(t, c, sess.CodeUnavailable, "4711", "newer")
		})
	}
}

func open(t *testing.T, c store.Config) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestUnreachablePostgres(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, store.Config{URL: "postgres://me:geheim@" + addr + "/sess"}, sess.CodeUnavailable, addr, "sess", "me")
}

func TestErrorsHoldNoPassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://me:geheim@127.0.0.1:1/sess", "postgres://me:geheim@127.0.0.1:port/sess", "postgres://me:geheim@%zz/", "host=127.0.0.1 password=geheim port=x",
	} {
		_, err := store.Open(t.Context(), store.Config{URL: url})
		if err == nil {
			t.Fatal("it opened")
		}
		if strings.Contains(err.Error(), "geheim") {
			t.Errorf("the password is in: %v", err)
		}
	}
}

func TestBadURL(t *testing.T) {
	t.Parallel()
	refused(t, store.Config{URL: "postgres://me@127.0.0.1:port/sess"}, sess.CodeInvalid, "postgres://")
}

func TestOpenTwiceKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	for _, c := range []store.Config{{Dir: filepath.Join(t.TempDir(), "new", "a dir?x#%41 ä")}, {URL: storetest.PostgresURL(t)}} {
		db := open(t, c)
		t.Run(string(db.Dialect()), func(t *testing.T) {
			storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.CreateOrg(ctx, "org_x", "default", 1)
				return err
			})
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			again := storetest.Open(t, c)
			storetest.Read(t, again, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.GetOrg(ctx, "org_x")
				return err
			})
			if err := again.Ping(t.Context()); err != nil {
				t.Error(err)
			}
			if c.Dir != "" {
				privateFiles(t, c.Dir)
			}
		})
	}
}

// privateFiles checks that nobody but the owner can read what lies in the data directory.
func privateFiles(t *testing.T, dir string) {
	t.Helper()
	for name, want := range map[string]os.FileMode{"sess.db": 0o600, "sess.db-wal": 0o600, "sess.db-shm": 0o600, "lock": 0o600, ".": os.ModeDir | 0o700} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		} else if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
	}
}

// Several servers that start at once on an empty PostgreSQL: each ends up with the whole schema.
func TestServersStartAtOnce(t *testing.T) {
	t.Parallel()
	url := storetest.PostgresURL(t)
	errs := make(chan error)
	for range 4 {
		go func() {
			db, err := store.Open(t.Context(), store.Config{URL: url, MaxConns: 2})
			if err == nil {
				err = errors.Join(db.Read(t.Context(), func(tx *store.Tx) error {
					_, err := tx.CountUnplacedAuditEvents(t.Context(), "box")
					return err
				}), db.Close())
			}
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestMigrationsUpDownUp(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p, err := db.Migrations()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.DownTo(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if left := tablesOf(t, db); len(left) != 0 {
			t.Errorf("left after all steps down: %v", left)
		}
		if _, err := p.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := len(tablesOf(t, db)), len(tableNames(t)); got != want {
			t.Errorf("%d tables after up, want %d", got, want)
		}
	})
}

func tablesOf(t *testing.T, db *store.DB) []string {
	t.Helper()
	q := "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite%'"
	if db.Dialect() == store.Postgres {
		q = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'goose%'"
	}
	var names []string
	storetest.Read(t, db, func(ctx context.Context, tx *store.Tx) error {
		rows, err := tx.SQL().QueryContext(ctx, q)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			names = append(names, name)
		}
		return rows.Err()
	})
	return names
}
