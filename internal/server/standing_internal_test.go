package server

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// TestALockEndsLongAnswers: who follows the audit log, or downloads, when they are locked, deactivated or their login is
// revoked, gets nothing more from then on: within a second, as in a session, also where they leave unread what came.
func TestALockEndsLongAnswers(t *testing.T) {
	t.Parallel()
	for name, bar := range map[string]func(w *matrix, m member){
		"locked": func(w *matrix, m member) {
			w.write(func(ctx context.Context, tx *store.Tx) error {
				err := tx.InsertLock(ctx, store.InsertLockParams{Org: m.org, ID: sess.NewLockID(), Kind: sess.LockUser, Target: string(m.id), Name: m.name, OrgWide: 1, MadeBy: "ann", CreatedAt: 1})
				if err == nil {
					_, err = tx.ChangeRules(ctx, m.org)
				}
				return err
			})
		},
		"deactivated": func(w *matrix, m member) { w.sql("UPDATE member SET active = 0 WHERE user_id = $1", m.id) },
		"revoked":     func(w *matrix, m member) { w.sql("UPDATE login SET revoked_at = 1 WHERE user_id = $1", m.id) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newMatrix(t)
			ended := make(chan string, 2)
			flood := w.s.download(func(ctx context.Context, who sess.Principal, _ *http.Request) (*answer, error) {
				if err := w.s.gate.Read(ctx, who, policy.AuditExport, policy.Org(who.Org), func(*gate.Tx) error { return nil }); err != nil {
					return nil, err
				}
				return &answer{contentType: "application/octet-stream", send: func(out io.Writer) error {
					b := make([]byte, 64<<10)
					for {
						if _, err := out.Write(b); err != nil {
							return err
						}
					}
				}}, nil
			})
			mux := http.NewServeMux()
			mux.Handle("GET /flood", w.s.outer(flood))
			mux.Handle("/", w.s.handler)
			srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				defer func() { ended <- r.URL.Path; _ = recover() }() // a stream that is cut aborts its handler
				mux.ServeHTTP(rw, r)
			}))
			defer srv.Close()
			m := w.ours.member(sess.RoleAuditor)
			bearer := w.login(m, nil)
			for _, path := range []string{"/flood", "/v1/audit/watch?from=0"} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+bearer)
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Fatalf("%s: %s", path, resp.Status)
				}
				if path != "/flood" {
					go func() { // until it ends
						lines := bufio.NewScanner(resp.Body)
						for lines.Scan() {
						}
					}()
				}
			}
			bar(w, m)
			began := time.Now()
			for range 2 {
				select {
				case <-ended:
				case <-time.After(10 * time.Second):
					t.Fatal("a long answer goes on")
				}
			}
			if d := time.Since(began); d > 3*time.Second { // a second, on a machine that does nothing else
				t.Errorf("it took %s", d)
			}
		})
	}
}
