package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// crashDir is the variable that makes TestKilledServer the server that gets killed.
const crashDir = "SESS_TEST_CRASH_DIR"

// A server killed in the middle of writing has kept everything it said was committed, its directory is free, and the
// next one goes on without ado.
func TestKilledServer(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	t.Parallel()
	dir := t.TempDir()
	for round := range 3 {
		last := killAfter(t, dir, 20)
		db := open(t, store.Config{Dir: dir})
		for i := range last + 1 {
			if id := sess.OrgID(fmt.Sprint("org_", i)); !hasOrg(t, db, id) {
				t.Fatalf("round %d: %s was committed and is not there", round, id)
			}
		}
		storetest.Read(t, db, func(ctx context.Context, tx *store.Tx) error {
			var verdict string
			err := tx.SQL().QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&verdict)
			if verdict != "ok" {
				t.Errorf("round %d: integrity_check says %s", round, verdict)
			}
			return err
		})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killAfter runs a server on dir, kills it once it has told of n commits, and returns the last one it told of.
func killAfter(t *testing.T, dir string, n int) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestKilledServer$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	told, last := 0, -1
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, err := fmt.Sscanf(lines.Text(), "committed %d", &last); err != nil {
			t.Errorf("the server says %q", lines.Text())
		}
		if told++; told == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); told < n || err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the server ended after %d commits: %v", told, err)
	}
	return last
}

func writeUntilKilled(t *testing.T, dir string) {
	t.Helper()
	db := open(t, store.Config{Dir: dir})
	first := 0
	for hasOrg(t, db, sess.OrgID(fmt.Sprint("org_", first))) {
		first++
	}
	for i := first; ; i++ {
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return addOrg(ctx, tx, sess.OrgID(fmt.Sprint("org_", i)))
		})
		fmt.Println("committed", i)
	}
}
