package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// TestLongAnswersAreCut: whoever is being sent something that takes long gets no more of it when a lock, or anything else, takes the
// right to it away, also if they read slowly or not at all; it is on record; others go on.
func TestLongAnswersAreCut(t *testing.T) {
	t.Parallel()
	w := newMatrix(t)
	mux := http.NewServeMux()
	w.s.longAnswers(mux)
	srv := httptest.NewServer(w.s.outer(mux))
	t.Cleanup(srv.Close)
	bystander := w.startLong(srv.URL+"/stream", w.login(w.ours.admin, nil))
	for name, take := range map[string]func(member, sess.KeyID){
		"lock of the user": func(m member, _ sess.KeyID) { w.lockOn(sess.LockUser, string(m.id)) },
		"lock of the key":  func(_ member, k sess.KeyID) { w.lockOn(sess.LockKey, string(k)) },
		"key deleted": func(_ member, k sess.KeyID) {
			w.sql("UPDATE api_key SET revoked_at = 1 WHERE id = $1", k)
		},
		"role taken away": func(m member, _ sess.KeyID) {
			w.sql("DELETE FROM role_grant WHERE user_id = $1", m.id)
			w.write(func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.ChangeRules(ctx, w.ours.org)
				return err
			})
		},
		"user deactivated": func(m member, _ sess.KeyID) { w.sql("UPDATE member SET active = 0 WHERE user_id = $1", m.id) },
	} {
		for _, path := range []string{"/stream", "/download", "/flood"} {
			m := w.ours.member(sess.RoleAdmin)
			id, key := w.key(m, nil)
			answer := w.startLong(srv.URL+path, key)
			take(m, id)
			began := time.Now()
			if err := answer.rest(); err == nil {
				t.Errorf("%s, %s: it was sent to its end", name, path)
			}
			t.Logf("%s, %s: cut after %s", name, path, time.Since(began).Round(time.Millisecond))
			if n := len(w.lines("SELECT id FROM audit_event WHERE outcome = 'refused' AND action = 'audit:export' AND body LIKE '%' || $1 || '%'", m.id)); n != 1 && !strings.HasSuffix(name, "ed") {
				t.Errorf("%s, %s: %d refusals are on record", name, path, n)
			}
		}
	}
	if err := bystander.more(); err != nil {
		t.Errorf("somebody else's was cut: %v", err)
	}
}

// TestLongAnswersAreBounded: nobody keeps the server busy with watches without end; others are not concerned, and who ended one
// may begin another.
func TestLongAnswersAreBounded(t *testing.T) {
	t.Parallel()
	w := newMatrix(t)
	mux := http.NewServeMux()
	w.s.longAnswers(mux)
	srv := httptest.NewServer(w.s.outer(mux))
	t.Cleanup(srv.Close)
	m := w.ours.member(sess.RoleAdmin)
	key := w.login(m, nil)
	var all []*longAnswer
	for range maxLong {
		all = append(all, w.startLong(srv.URL+"/stream", key))
	}
	ask := func() int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/download", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, k := w.key(m, nil)
		r.Header.Set("Authorization", "Bearer "+k)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if got := ask(); got != http.StatusTooManyRequests {
		t.Errorf("one too many gives %d", got)
	}
	w.startLong(srv.URL+"/stream", w.login(w.ours.admin, nil))
	_ = all[0].body.Close()
	for deadline := time.Now().Add(10 * time.Second); ask() != http.StatusOK; <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("who ended one may begin none")
		}
	}
}

// longAnswers serves three that end only when they are cut: the last one faster than anybody reads.
func (s *Server) longAnswers(mux *http.ServeMux) {
	allowed := func(ctx context.Context, who sess.Principal) error {
		return s.gate.Read(ctx, who, policy.AuditExport, policy.Resource{Org: who.Org, Type: policy.TypeLog}, func(*gate.Tx) error { return nil })
	}
	write := func(w io.Writer, flush func() error, n int, pause time.Duration) error {
		for {
			if _, err := w.Write(append(make([]byte, n), '\n')); err != nil {
				return err
			}
			if err := flush(); err != nil {
				return err
			}
			<-time.After(pause)
		}
	}
	mux.HandleFunc("GET /stream", s.stream(func(ctx context.Context, who sess.Principal, _ *http.Request, open func(string) *streamWriter) error {
		if err := allowed(ctx, who); err != nil {
			return err
		}
		w := open("text/plain")
		return write(w, w.Flush, 10, 5*time.Millisecond)
	}))
	for path, n := range map[string]int{"/download": 32 << 10, "/flood": 1 << 20} {
		mux.HandleFunc("GET "+path, s.download(func(ctx context.Context, who sess.Principal, _ *http.Request) (*answer, error) {
			if err := allowed(ctx, who); err != nil {
				return nil, err
			}
			return &answer{contentType: "text/plain", send: func(w io.Writer) error {
				return write(w, func() error { return nil }, n, 10*time.Millisecond)
			}}, nil
		}))
	}
}

// longAnswer is one that somebody is being sent.
type longAnswer struct {
	body  io.ReadCloser
	lines *bufio.Reader
}

// startLong asks for one and reads its first line.
func (w *matrix) startLong(url, bearer string) *longAnswer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { resp.Body.Close() })
	a := &longAnswer{resp.Body, bufio.NewReaderSize(resp.Body, 2<<20)}
	if err := a.more(); err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatal(resp.Status, err)
	}
	return a
}

func (a *longAnswer) more() error {
	_, err := a.lines.ReadSlice('\n')
	return err
}

// rest reads to the end, which an answer that is cut has not.
func (a *longAnswer) rest() error {
	_, err := io.Copy(io.Discard, a.lines)
	if err != nil {
		err = fmt.Errorf("cut: %w", err)
	}
	return err
}

// lockOn locks something of ours.
func (w *matrix) lockOn(kind sess.LockKind, target string) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.InsertLock(ctx, store.InsertLockParams{Org: w.ours.org, ID: sess.NewLockID(), Kind: kind, Target: target, Name: "it", OrgWide: 1, CreatedAt: 1}); err != nil {
			return err
		}
		_, err := tx.ChangeRules(ctx, w.ours.org)
		return err
	})
}
