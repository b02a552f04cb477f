package trail_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/trail"
)

func publish(t *testing.T, w *world, to string) (stop func()) {
	t.Helper()
	p, err := trail.NewPublisher(to, w.signer.VerifierKey(), w.seq, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { p.Run(ctx) })
	return func() { cancel(); done.Wait() }
}

// What was published binds the server itself: with another database, older or made anew with its own key, it signs nothing.
func TestPublishedCheckpointsBindTheServer(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "published")
	w := newWorld(t, storetest.SQLite(t))
	for round := range 3 {
		stop := publish(t, w, file)
		w.add(round*5, round*5+5, time.Now())
		w.flush()
		stop()
		w.open("nod_1") // the server starts again
	}
	b, err := os.ReadFile(file)
	if err != nil || bytes.Count(b, []byte("\n")) != 3 {
		t.Fatalf("%v: %s", err, b)
	}
	if err := os.WriteFile(file, append(b, `{"time":"20`...), 0o600); err != nil { // killed within a line
		t.Fatal(err)
	}
	publish(t, w, file)()
	w.add(15, 20, time.Now())
	w.flush()

	rewritten := newWorld(t, storetest.SQLite(t))
	publish(t, rewritten, file)()
	rewritten.add(0, 40, time.Now())
	if err := rewritten.seq.Flush(t.Context()); !errors.Is(err, audit.ErrTampered) {
		t.Errorf("a log made anew is signed: %v", err)
	}
	if r, err := trail.VerifyLog(t.Context(), rewritten.db, string(org), rewritten.signer.VerifierKey(), time.Now()); err != nil || r.Size != 0 {
		t.Errorf("%d events have a place, %v", r.Size, err)
	}
	if err := os.WriteFile(file, []byte("no checkpoints\nat all\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := trail.NewPublisher(file, w.signer.VerifierKey(), w.seq, time.Now, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file of something else is taken")
	}
}

// TestFullDiskSpoilsNoPublishedCheckpoints: what a full disk left of a line must not become one with the next: the server would
// not start by that file any more.
func TestFullDiskSpoilsNoPublishedCheckpoints(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "published")
	w := newWorld(t, storetest.SQLite(t))
	stop := publish(t, w, file)
	defer func() { stop() }()
	lines := func(n int) {
		t.Helper()
		until(t, "checkpoints are there", func() error {
			if b, err := os.ReadFile(file); err != nil || bytes.Count(b, []byte("\n")) != n {
				return fmt.Errorf("%w: %s", err, b)
			}
			return nil
		})
	}
	w.add(0, 5, time.Now())
	w.flush()
	lines(1)
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"time":"2026`); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	w.add(5, 10, time.Now())
	w.flush()
	lines(2)
	stop()
	w.open("nod_1") // the server starts again
	stop = publish(t, w, file)
}

// A URL that fails gets the newest checkpoint when it is back.
func TestCheckpointsArePosted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	var mu sync.Mutex
	fail, got := true, ""
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if fail {
			fail = false
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		got += string(b)
	}))
	defer srv.Close()
	defer publish(t, w, srv.URL)()
	w.add(0, 5, time.Now())
	w.flush()
	until(t, "it is posted", func() error {
		mu.Lock()
		defer mu.Unlock()
		var seen audit.Witnessed
		if err := json.Unmarshal([]byte(strings.TrimSpace(got)), &seen); err != nil {
			return err
		}
		_, err := audit.OpenCheckpoint(seen.Checkpoint, w.signer.VerifierKey())
		return err
	})
}
