package server

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

// target is one thing a server answers to, with a body that gets past the first checks.
type target struct{ method, path, body string }

// fuzzTargets lists every operation of a server, and what is beside the API.
func fuzzTargets(s *Server) []target {
	bodies := map[string]string{
		api.Login.ID:         `{"email":"a@example.com","password":"x"}`,
		api.Accept.ID:        `{"token":"sesi_x","password":"x"}`,
		api.Enrol.ID:         `{"token":"sesn_x","public_key":"AA==","signature":"AA==","name":"n","hostname":"h","os":"linux","arch":"amd64","version":"1"}`,
		api.CreateToken.ID:   `{"uses":1,"ttl":60,"labels":{"a":"b"},"region":"r","project":"default"}`,
		api.CreateKey.ID:     `{"name":"k","machine":"m","role":"operator","ttl":60}`,
		api.PatchInstance.ID: `{"name":"n2","labels":{"a":null,"b":"c"}}`,
		api.StartSession.ID:  `{"instance":"n","kind":"exec","os_user":"u","reason":"r","params":"eyJhcmd2IjpbIngiXX0=","public_key":"BA=="}`,
		api.ResumeSession.ID: `{"nonce":"AAAAAAAAAAAAAAAAAAAAAA==","signature":"AA=="}`,
		api.AttachSession.ID: `{"public_key":"BA=="}`,
		api.EndSession.ID:    `{"reason":"r"}`,
	}
	var out []target
	for path, item := range s.api.OpenAPI().Paths {
		for method, op := range map[string]*string{
			http.MethodGet: id(item.Get), http.MethodPost: id(item.Post), http.MethodPatch: id(item.Patch), http.MethodDelete: id(item.Delete), http.MethodPut: id(item.Put),
		} {
			if op != nil && *op != api.Logout.ID { // it would log the fuzzer out
				out = append(out, target{method, path, bodies[*op]})
			}
		}
	}
	for _, path := range []string{api.PathStream, api.PathAgent, api.PathRecordingData, api.PathSessionCommands, api.PathAuditExport, "/agent/{name}", "/install.sh", "/{any}"} {
		out = append(out, target{method: http.MethodGet, path: path})
	}
	slices.SortFunc(out, func(a, b target) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return out
}

// fuzzServer is a server that is not run, with an instance, and the login of its admin.
func fuzzServer(f *testing.F) (*Server, string) {
	f.Helper()
	s, err := New(f.Context(), Config{DataDir: storetest.Dir(f), Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	_, invite, err := sess.ParseInviteLink(s.adminLink)
	if err != nil {
		f.Fatal(err)
	}
	here := netip.MustParseAddr("127.0.0.1")
	var in api.AcceptIn
	in.Body.Token, in.Body.Password, in.Body.Email = invite, "correct horse battery 9", "admin@example.com"
	login, err := s.identity.Accept(f.Context(), here, in)
	if err != nil {
		f.Fatal(err)
	}
	who, err := s.identity.Authenticate(f.Context(), login.Token, here)
	if err != nil {
		f.Fatal(err)
	}
	token, err := s.identity.CreateToken(f.Context(), who, api.TokenIn{})
	if err != nil {
		f.Fatal(err)
	}
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	var e api.EnrolIn
	hash := sha256.Sum256([]byte(token.Secret))
	e.Body.Token, e.Body.PublicKey, e.Body.Name = token.Secret, public, "n"
	e.Body.Signature = ed25519.Sign(key, wire.SignedMessage(wire.PurposeEnrol, hash[:]))
	if _, err := s.identity.Enrol(f.Context(), here, e); err != nil {
		f.Fatal(err)
	}
	return s, login.Token
}

// FuzzAPI sends anything to every operation, through all layers that a request passes: nothing panics, nothing is an
// internal error, and every failure is a problem document.
func FuzzAPI(f *testing.F) {
	s, login := fuzzServer(f)
	targets := fuzzTargets(s)
	for i, t := range targets {
		for _, arg := range []string{"n", "ses_x", "", "%", "..", "\x00", strings.Repeat("a", 300), "ses_\u202e"} {
			f.Add(uint8(i), true, arg, "limit=1&after=x&prefix="+url.QueryEscape(arg)+"&label=a%3Db&state=all", []byte(t.body))
		}
		f.Add(uint8(i), false, "n", "limit=-1", []byte(strings.ReplaceAll(t.body, `"x"`, `"\u0000\ud800\u001b[2J"`)))
		f.Add(uint8(i), true, "n", "after=%ff%fe&limit=99999999999999999999", []byte(strings.ReplaceAll(t.body, `:"`, `:["`)))
		f.Add(uint8(i), true, "n", "", []byte(strings.ReplaceAll(t.body, `1`, `-9223372036854775808`)))
		f.Add(uint8(i), true, "n", "", []byte(strings.Repeat(`{"a":`, 20000)))
	}
	var n atomic.Uint32
	f.Fuzz(func(t *testing.T, op uint8, known bool, arg, query string, body []byte) {
		if len(body) > 128<<10 {
			return
		}
		to := targets[int(op)%len(targets)]
		path := to.path
		if a, b, ok := strings.Cut(path, "{"); ok {
			_, rest, _ := strings.Cut(b, "}")
			path = a + arg + rest
		}
		r := (&http.Request{
			Method: to.method, URL: &url.URL{Path: path, RawQuery: query}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: "x",
			Header: http.Header{"Content-Type": {"application/json"}, "Upgrade": {"websocket"}, "Connection": {"Upgrade"}},
			Body:   io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		}).WithContext(context.WithoutCancel(t.Context()))
		// Passwords are limited by address, so that hashing does not slow this down; everything else comes from everywhere.
		r.RemoteAddr = "192.0.2.1:1"
		if !strings.Contains(path, "login") && !strings.Contains(path, "accept") {
			k := n.Add(1)
			r.RemoteAddr = netip.AddrFrom4([4]byte{10, byte(k >> 16), byte(k >> 8), byte(k)}).String() + ":1"
		}
		if known {
			r.Header.Set("Authorization", "Bearer "+login)
		} else if arg != "" {
			r.Header.Set("Authorization", "Bearer "+arg)
		}
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		checkAnswer(t, to, w)
	})
}

func checkAnswer(t *testing.T, to target, w *httptest.ResponseRecorder) {
	t.Helper()
	what := to.method + " " + to.path + ": " + strconv.Itoa(w.Code) + " " + w.Body.String()[:min(w.Body.Len(), 500)]
	if w.Code < 400 || to.path == api.PathAgent && w.Code < 500 { // the WebSocket library refuses a bad upgrade in its own words
		return
	}
	var p api.Problem
	if w.Code >= 500 && w.Code != http.StatusServiceUnavailable && w.Code != http.StatusBadGateway {
		t.Fatal(what)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Code == "" || p.Code == sess.CodeInternal || p.Detail == "" || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Fatal(what, err)
	}
	if strings.ContainsFunc(p.Detail+p.Hint, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
		t.Fatalf("a terminal would act on %q, %q", p.Detail, p.Hint)
	}
}

func id(op *huma.Operation) *string {
	if op == nil {
		return nil
	}
	return &op.OperationID
}
