package server

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// deadlines is a response that notes the deadlines it is given.
type deadlines struct {
	*httptest.ResponseRecorder

	read, write time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = t; return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }

// TestUnreadBodyHasADeadline: a request that is answered before its body came must not hold its connection for as long as
// the body takes; and a download, which has none, is not cut off by it.
func TestUnreadBodyHasADeadline(t *testing.T) {
	s := &Server{log: slog.New(slog.DiscardHandler), now: time.Now}
	h := s.outer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	for _, c := range []struct {
		name    string
		body    string
		chunked bool
		want    bool
	}{{"length", "x", false, true}, {"chunked", "x", true, true}, {"none", "", false, false}} {
		r := httptest.NewRequest(http.MethodPost, "/v1/sessions", strings.NewReader(c.body))
		if c.chunked {
			r.ContentLength = -1
		}
		d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		h.ServeHTTP(d, r)
		if got := !d.read.IsZero(); got != c.want || got && time.Until(d.read) > bodyTimeout {
			t.Errorf("%s: read deadline %v", c.name, d.read)
		}
		if d.write.IsZero() {
			t.Errorf("%s: no deadline for the answer", c.name)
		}
		if csp := d.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: Content-Security-Policy is %q", c.name, csp)
		}
	}
}

// A change of password costs up to seven hashes, of which few are made at a time for all organisations: somebody who is
// logged in asks for it no more often than strangers log in.
func TestChangesOfPasswordsAreLimited(t *testing.T) {
	h, _ := testAPI(t)
	const body = `{"old":"a former password","new":"the same one again"}`
	if w := call(h, "POST", "/v1/password", "good", body); w.Code != http.StatusNoContent {
		t.Fatalf("the first: %d %s", w.Code, w.Body)
	}
	if w := call(h, "POST", "/v1/password", "good", body); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("the second: %d %s", w.Code, w.Body)
	}
}
