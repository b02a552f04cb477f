package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// fakeIdentity knows one bearer.
type fakeIdentity struct{}

func (fakeIdentity) Authenticate(_ context.Context, bearer string, addr netip.Addr) (sess.Principal, error) {
	if bearer != "good" {
		return sess.Principal{}, sess.New(sess.CodeUnauthenticated, "unknown credential", "log in again")
	}
	return sess.Principal{Name: "anna", Addr: addr}, nil
}

type echoIn struct {
	Body struct {
		Password string `json:"password" maxLength:"10"`
	}
}

var (
	opEcho   = api.Op[echoIn, api.ServerInfo]{ID: "echo", Method: http.MethodPost, Path: "/v1/echo", Summary: "Echo"}
	opFail   = api.Op[api.None, api.None]{ID: "fail", Method: http.MethodGet, Path: "/v1/fail", Summary: "Fail"}
	opPanic  = api.Op[api.None, api.None]{ID: "panic", Method: http.MethodGet, Path: "/v1/panic", Summary: "Panic"}
	opNone   = api.Op[api.None, api.None]{ID: "none", Method: http.MethodDelete, Path: "/v1/none", Summary: "None"}
	opPublic = api.Op[api.None, api.ServerInfo]{ID: "public", Method: http.MethodGet, Path: "/v1/public", Summary: "Public", Public: true}
)

// testAPI serves the operations above.
func testAPI(t *testing.T) (http.Handler, *strings.Builder) {
	t.Helper()
	var log strings.Builder
	s := &Server{
		log: slog.New(slog.NewTextHandler(&log, nil)), now: time.Now, auth: fakeIdentity{}, cfg: Config{TLS: TLSOff},
		strangers: newStrangers(1, 1), publicRate: newRateLimiter(3, 1), passwordRate: newRateLimiter(1, 1),
	}
	s.refused = func(_ context.Context, _ netip.Addr, code sess.Code) {
		log.WriteString("refused " + string(code) + "\n")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", s.notFound)
	s.api = s.newAPI(mux)
	bind(s, opEcho, func(_ context.Context, who sess.Principal, _ echoIn) (api.ServerInfo, error) {
		return api.ServerInfo{Name: who.Name + " " + who.Addr.String(), Version: who.RequestID}, nil
	})
	bind(s, opFail, func(context.Context, sess.Principal, api.None) (api.None, error) {
		return api.None{}, errors.New("the password of the database is hunter2")
	})
	bind(s, opPanic, func(context.Context, sess.Principal, api.None) (api.None, error) { panic("hunter2") })
	bind(s, opNone, func(context.Context, sess.Principal, api.None) (api.None, error) { return api.None{}, nil })
	bind(s, opPublic, func(_ context.Context, who sess.Principal, _ api.None) (api.ServerInfo, error) {
		return api.ServerInfo{Name: who.Name}, nil
	})
	bind(s, api.ChangePassword, func(context.Context, sess.Principal, api.PasswordIn) (api.None, error) { return api.None{}, nil })
	return s.outer(mux), &log
}

func call(h http.Handler, method, path, bearer, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestBind(t *testing.T) {
	h, log := testAPI(t)
	for _, tc := range []struct {
		name, method, path, bearer, body string
		status                           int
		code                             sess.Code
	}{
		{"works", "POST", "/v1/echo", "good", `{"password":"x"}`, 200, ""},
		{"no content", "DELETE", "/v1/none", "good", "", 204, ""},
		{"no credential", "POST", "/v1/echo", "", `{"password":"x"}`, 401, sess.CodeUnauthenticated},
		{"no credential, and a bad body is not even read", "POST", "/v1/echo", "", `{`, 401, sess.CodeUnauthenticated},
		{"bad credential", "POST", "/v1/echo", "bad", `{"password":"x"}`, 401, sess.CodeUnauthenticated},
		{"no JSON", "POST", "/v1/echo", "good", `{`, 400, sess.CodeInvalid},
		{"too long", "POST", "/v1/echo", "good", `{"password":"secret-secret"}`, 422, sess.CodeInvalid},
		{"unknown field, of a newer client", "POST", "/v1/echo", "good", `{"password":"x","new":1}`, 200, ""},
		{"wrong type", "POST", "/v1/echo", "good", `{"password":["secret-secret"]}`, 422, sess.CodeInvalid},
		{"no body", "POST", "/v1/echo", "good", ``, 400, sess.CodeInvalid},
		{"large body", "POST", "/v1/echo", "good", `{"password":"` + strings.Repeat("x", maxSmallBody) + `"}`, 413, sess.CodeTooLarge},
		{"unknown path", "GET", "/v1/nothing", "good", "", 404, sess.CodeNotFound},
		{"wrong method", "PUT", "/v1/echo", "good", "{}", 404, sess.CodeNotFound},
		{"internal error", "GET", "/v1/fail", "good", "", 500, sess.CodeInternal},
		{"panic", "GET", "/v1/panic", "good", "", 500, sess.CodeInternal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := call(h, tc.method, tc.path, tc.bearer, tc.body)
			if w.Code != tc.status {
				t.Fatalf("status %d, want %d: %s", w.Code, tc.status, w.Body)
			}
			id := w.Header().Get("X-Request-Id")
			if id == "" {
				t.Error("no request id")
			}
			if strings.Contains(w.Body.String(), "hunter2") || strings.Contains(w.Body.String(), "secret-secret") || strings.Contains(w.Body.String(), "$schema") {
				t.Errorf("body tells too much: %s", w.Body)
			}
			if tc.code == "" {
				return
			}
			var p api.Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if p.Code != tc.code || p.Status != tc.status || p.Request != id || p.Detail == "" || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("problem %+v of type %s", p, w.Header().Get("Content-Type"))
			}
			if err := api.ReadProblem(w.Result()); !errors.Is(err, &sess.Error{Code: tc.code}) {
				t.Errorf("the client reads %v", err)
			}
		})
	}
	if !strings.Contains(log.String(), "refused unauthenticated") {
		t.Error("a call without a credential is not on record")
	}
	if !strings.Contains(log.String(), "hunter2") {
		t.Error("the log does not have what the client was not told")
	}
	if strings.Contains(log.String(), "secret-secret") || strings.Contains(log.String(), "good") {
		t.Errorf("the log has secrets: %s", log)
	}
}

func TestPublicOperationsAreLimited(t *testing.T) {
	h, log := testAPI(t)
	for i := range 3 {
		if w := call(h, "GET", "/v1/public", "", ""); w.Code != 200 {
			t.Fatalf("call %d: %d", i, w.Code)
		}
	}
	w := call(h, "GET", "/v1/public", "", "")
	if w.Code != 429 || w.Header().Get("Retry-After") == "" || !strings.Contains(log.String(), "refused limited") {
		t.Errorf("call above the limit: %d, %v, log %s", w.Code, w.Header(), log)
	}
}
