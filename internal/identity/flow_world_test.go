package identity_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// hub is a provider of kind github that says what a test wants it to about whoever comes.
type hub struct {
	*httptest.Server

	id       int64
	email    string
	verified bool
	teams    []string // of the organisation acme
	down     bool
}

func newHub(t testing.TB) *hub {
	t.Helper()
	h := &hub{id: 4711, email: "ann@example.com", verified: true}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var v any
		switch r.URL.Path {
		case "/login/oauth/access_token":
			v = map[string]any{"access_token": "gho_x", "token_type": "bearer"}
			if r.FormValue("code") != "good" {
				v = map[string]any{"error": "bad_verification_code"}
			}
		case "/api/v3/user":
			v = map[string]any{"id": h.id}
		case "/api/v3/user/emails":
			v = []any{map[string]any{"email": h.email, "primary": true, "verified": h.verified}}
		case "/api/v3/user/teams":
			list := []any{}
			for _, team := range h.teams {
				list = append(list, map[string]any{"slug": team, "organization": map[string]any{"login": "acme"}})
			}
			v = list
		}
		if v == nil || h.down {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}))
	t.Cleanup(h.Close)
	return h
}

// setUp sets h up as a provider.
func (w *world) setUp(admin sess.Principal, name string, h *hub, change func(*api.IDPIn)) api.IDP {
	w.t.Helper()
	var in api.IDPIn
	in.Body.Name, in.Body.Kind, in.Body.Secret = name, "github", w.secret("the client's secret")
	in.Body.Settings = api.IDPSettings{ClientID: "sess", APIURL: h.URL + "/api/v3"}
	if change != nil {
		change(&in)
	}
	return must[api.IDP](w, "set up "+name)(w.CreateIDP(w.t.Context(), admin, in))
}

// verifier and state are what a client has of its own.
const (
	verifier   = "the-verifier-of-a-client-that-is-long-enough"
	clientSays = "the-state-of-a-client"
	portURI    = "http://127.0.0.1:4711/"
)

func (w *world) browser() identity.Browser {
	return identity.Browser{Cookie: w.secret(identity.NewBrowserCookie()), Addr: home}
}

func authorizeIn() identity.AuthorizeIn {
	sum := sha256.Sum256([]byte(verifier))
	return identity.AuthorizeIn{
		ResponseType: "code", ClientID: "sessctl", RedirectURI: portURI, State: clientSays,
		Challenge: base64.RawURLEncoding.EncodeToString(sum[:]), ChallengeMethod: "S256", Client: "a test",
	}
}

func (w *world) authorize(b identity.Browser) string {
	w.t.Helper()
	return must[string](w, "authorize")(w.Authorize(w.t.Context(), b, authorizeIn()))
}

// send sends a flow's browser to a provider: what the provider sends back.
func (w *world) send(b identity.Browser, flow, provider string) url.Values {
	w.t.Helper()
	to := must[string](w, "send")(w.SendFlow(w.t.Context(), b, flow, provider))
	u, err := url.Parse(to)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range []string{"state", "code_challenge"} {
		w.secret(u.Query().Get(name))
	}
	return url.Values{"state": {u.Query().Get("state")}, "code": {"good"}}
}

// byProvider goes through a whole login: the login, or what went wrong at the provider's return.
func (w *world) byProvider(p api.IDP) (api.LoginOut, error) {
	w.t.Helper()
	return w.byProviderOf("", p)
}

// byProviderOf is byProvider where there are several organisations.
func (w *world) byProviderOf(org string, p api.IDP) (api.LoginOut, error) {
	w.t.Helper()
	b, in := w.browser(), authorizeIn()
	in.Org = org
	flow := must[string](w, "authorize")(w.Authorize(w.t.Context(), b, in))
	end, err := w.FromProvider(w.t.Context(), b, p.ID, w.send(b, flow, p.Name))
	if err != nil {
		return api.LoginOut{}, w.saw(err)
	}
	out, err := w.RedeemLogin(w.t.Context(), home, w.redeem(end))
	if err != nil {
		return api.LoginOut{}, w.saw(err)
	}
	w.secret(out.Login.Token)
	return *out.Login, nil
}

// redeem is what a client sends for what came to its port.
func (w *world) redeem(end identity.FlowEnd) api.RedeemIn {
	w.t.Helper()
	u, err := url.Parse(end.URL)
	if err != nil || u.Query().Get("state") != clientSays || u.Host != "127.0.0.1:4711" {
		w.t.Fatalf("the browser goes to %q, %v", end.URL, err)
	}
	var in api.RedeemIn
	in.Body.Code, in.Body.Verifier, in.Body.RedirectURI = w.secret(u.Query().Get("code")), verifier, portURI
	return in
}

func (w *world) device() api.DeviceOut {
	w.t.Helper()
	var in api.DeviceIn
	in.Body.Client = "a machine without a browser"
	d := must[api.DeviceOut](w, "start device")(w.StartDevice(w.t.Context(), else1, in))
	w.secret(d.DeviceCode)
	w.secret(d.UserCode)
	return d
}

func (w *world) poll(d api.DeviceOut) (api.RedeemOut, error) {
	var in api.RedeemIn
	in.Body.DeviceCode = d.DeviceCode
	out, err := w.RedeemLogin(w.t.Context(), else1, in)
	if err == nil && out.Login != nil {
		w.secret(out.Login.Token)
	}
	return out, w.saw(err)
}

// groupsOf gives the groups somebody is in, as NAME by SOURCE.
func (w *world) groupsOf(org sess.OrgID, user sess.UserID, ids map[string]sess.TeamID) []string {
	w.t.Helper()
	var out []string
	storetest.Read(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		for name, id := range ids {
			rows, err := tx.ListTeamMembers(ctx, org, id, 100)
			if err != nil {
				return err
			}
			for _, r := range rows {
				if r.UserID == user {
					out = append(out, fmt.Sprintf("%s by %s", name, r.Source))
				}
			}
		}
		return nil
	})
	return out
}
