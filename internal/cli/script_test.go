package cli_test

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/cli"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"sessctl": func() { os.Exit(cli.Main(context.Background(), os.Args[1:])) },
	})
}

// TestScripts runs testdata/*.txtar against a server that knows the API's types and a few answers. What a real server
// does with real sessions is tested in internal/e2e.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			f := newFake()
			e.Defer(f.srv.Close)
			u, err := url.Parse(f.srv.URL)
			if err != nil {
				return err
			}
			s := link.Server{URL: u}
			e.Setenv("BARE", s.String())
			e.Setenv("HOST", u.Host)
			s.Pin = link.Pin(f.srv.Certificate())
			e.Setenv("SERVER", s.String())
			_, pin, _ := strings.Cut(s.String(), "sha256:")
			e.Setenv("PIN", pin)
			e.Setenv("WRONG", u.String()+"#pin=sha256:"+strings.Repeat("0", len(pin))) // scripts take # for a comment
			invite, err := sess.NewToken(sess.TokenInvite, s.Pin)
			if err != nil {
				return err
			}
			e.Setenv("INVITE", sess.InviteLink(u, invite))
			e.Setenv("SESSCTL_CONFIG_DIR", e.WorkDir+"/conf")
			e.Setenv("NO_PROXY", "127.0.0.1")
			e.Setenv("TERM", "dumb")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"mode": mode},
	})
}

// mode checks a file's permissions: mode 600 FILE.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := strings.TrimPrefix(info.Mode().Perm().String(), "-"); (got == args[0]) == neg {
		ts.Fatalf("mode of %s is %s", args[1], got)
	}
}

// fake is a server with canned answers.
type fake struct {
	srv *httptest.Server

	mu     sync.Mutex // protects the following
	tokens map[string]bool
}

func newFake() *fake {
	f := &fake{tokens: map[string]bool{"sess_key": true}}
	mux := http.NewServeMux()
	handle(mux, f, api.GetServer, func(*http.Request) (api.ServerInfo, error) {
		return api.ServerInfo{Name: "127.0.0.1", Version: "9.9.9", Protocol: 1}, nil
	})
	handle(mux, f, api.Login, f.login)
	handle(mux, f, api.Accept, f.accept)
	handle(mux, f, api.LookInvite, func(*http.Request) (api.InviteLookOut, error) { return api.InviteLookOut{OrgName: "default"}, nil })
	handle(mux, f, api.Logout, func(r *http.Request) (api.None, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.tokens, bearer(r))
		return api.None{}, nil
	})
	handle(mux, f, api.Whoami, func(r *http.Request) (api.WhoamiOut, error) {
		return api.WhoamiOut{Name: "ann@example.com", OrgName: "default", Credential: sess.CredentialLogin, Grants: []api.GrantOut{{Role: sess.RoleAdmin}}}, nil
	})
	f.things(mux)
	f.srv = httptest.NewUnstartedServer(mux)
	f.srv.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are meant
	f.srv.StartTLS()
	return f
}

var then = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func (f *fake) things(mux *http.ServeMux) {
	instance := api.Instance{ID: "ins_abc", Name: "web-1", Project: "default", Online: true, Labels: map[string]string{"env": "prod", "a": "b\x1b[2J\tx"}, LastSeen: &then, CreatedAt: then}
	handle(mux, f, api.ListInstances, func(r *http.Request) (api.InstanceList, error) {
		if r.URL.Query().Get("after") == "1" {
			return api.InstanceList{Items: []api.Instance{{ID: "ins_old", Name: "old-1"}}}, nil
		}
		l := api.InstanceList{Items: []api.Instance{instance}, Next: "1"}
		if r.URL.Query().Get("limit") == "7" {
			l.Next = ""
		}
		return l, nil
	})
	handle(mux, f, api.GetInstance, func(r *http.Request) (api.Instance, error) {
		switch r.PathValue("instance") {
		case "web-1":
			return instance, nil
		case "secret":
			return api.Instance{}, sess.New(sess.CodeDenied, "you may not see secret", "ask an admin")
		case "off":
			return api.Instance{}, sess.New(sess.CodeOffline, "off is offline, last seen 2h ago", "")
		case "broken":
			return api.Instance{}, context.Canceled
		}
		return api.Instance{}, sess.New(sess.CodeNotFound, "no instance "+r.PathValue("instance"), "sessctl instance list")
	})
	handle(mux, f, api.PatchInstance, func(r *http.Request) (api.Instance, error) {
		var in api.InstancePatchIn
		if err := json.NewDecoder(r.Body).Decode(&in.Body); err != nil {
			return api.Instance{}, err
		}
		out := instance
		out.Labels = map[string]string{}
		for k, v := range in.Body.Labels {
			if v != nil {
				out.Labels[k] = *v
			} else {
				out.Labels[k] = "(gone)"
			}
		}
		if in.Body.Name != nil {
			out.Name = *in.Body.Name
		}
		return out, nil
	})
	handle(mux, f, api.CreateToken, func(r *http.Request) (api.Token, error) {
		var in api.TokenIn
		if err := json.NewDecoder(r.Body).Decode(&in.Body); err != nil {
			return api.Token{}, err
		}
		return api.Token{ID: "tok_1", Secret: "sesn_secret", Uses: in.Body.Uses, ExpiresAt: time.Now().Add(time.Duration(in.Body.TTL) * time.Second), EnrolLine: "sess-agent enroll --token sesn_secret", Labels: in.Body.Labels}, nil
	})
	handle(mux, f, api.CreateKey, func(*http.Request) (api.Key, error) {
		return api.Key{ID: "key_1", Secret: "sess_secret", User: "ci", ExpiresAt: then}, nil
	})
	handle(mux, f, api.ListSessions, func(r *http.Request) (api.SessionList, error) {
		return api.SessionList{Items: []api.Session{{
			ID: "ses_1", Kind: sess.KindShell, State: sess.StateDetached, InstanceName: "web-1", UserName: "ann@example.com", CreatedAt: then,
			Command: []string{"top", r.URL.Query().Get("state")},
		}}}, nil
	})
	handle(mux, f, api.EndSession, func(r *http.Request) (api.Session, error) {
		if r.PathValue("session") == "ses_gone" {
			return api.Session{}, sess.New(sess.CodeNotFound, "no such session", "")
		}
		return api.Session{ID: sess.SessionID(r.PathValue("session")), Kind: sess.KindShell, UserName: "bob", InstanceName: "web-1"}, nil
	})
}

func bearer(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func handle[In, Out any](mux *http.ServeMux, f *fake, op api.Op[In, Out], h func(*http.Request) (Out, error)) {
	mux.HandleFunc(op.Method+" "+op.Path, func(w http.ResponseWriter, r *http.Request) {
		var out Out
		var err error
		f.mu.Lock()
		known := f.tokens[bearer(r)]
		f.mu.Unlock()
		if !op.Public && !known {
			err = sess.New(sess.CodeUnauthenticated, "the login is over or was revoked", "sessctl login")
		} else {
			out, err = h(r)
		}
		if err != nil {
			p := api.NewProblem(err, "req_1")
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(p.Status)
			_ = json.NewEncoder(w).Encode(p)
			return
		}
		_ = json.NewEncoder(w).Encode(out)
	})
}

func (f *fake) newLogin(email string) api.LoginOut {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens["sesl_login"] = true
	return api.LoginOut{Token: "sesl_login", ExpiresAt: time.Now().Add(24 * time.Hour), Email: email, OrgName: "default"}
}

func (f *fake) login(r *http.Request) (api.LoginOut, error) {
	var in api.LoginIn
	if err := json.NewDecoder(r.Body).Decode(&in.Body); err != nil {
		return api.LoginOut{}, err
	}
	if in.Body.Password != "correct horse" {
		return api.LoginOut{}, sess.New(sess.CodeUnauthenticated, "address or password is wrong", "")
	}
	return f.newLogin(in.Body.Email), nil
}

func (f *fake) accept(r *http.Request) (api.LoginOut, error) {
	var in api.AcceptIn
	if err := json.NewDecoder(r.Body).Decode(&in.Body); err != nil {
		return api.LoginOut{}, err
	}
	if in.Body.Email == "" {
		return api.LoginOut{}, sess.New(sess.CodeInvalid, "the first admin's e-mail address is not known yet", "give it with --email")
	}
	return f.newLogin(in.Body.Email), nil
}
