package idp_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"

	"github.com/sessctl/sess/internal/identity/idp"
	"github.com/sessctl/sess/internal/sess"
)

// hub speaks the part of GitHub's documented API that a login needs, as an Enterprise Server does.
type hub struct {
	*httptest.Server

	challenge string
	user      map[string]any
	emails    []map[string]any
	member    map[string]string // state of membership by organisation
	teams     [][2]string       // organisation, team
}

func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{
		user:   map[string]any{"login": "ann", "id": 583231},
		emails: []map[string]any{{"email": "old@example.com", "primary": false, "verified": true}, {"email": "ann@example.com", "primary": true, "verified": true}},
		member: map[string]string{"acme": "active"}, teams: [][2]string{{"acme", "ops"}, {"elsewhere", "admins"}},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login/oauth/access_token", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		if r.PostForm.Get("client_secret") != secret || r.PostForm.Get("code") != "good" || b64(sum[:]) != h.challenge {
			answer(w, map[string]any{"error": "bad_verification_code", "error_description": "The code passed is incorrect or expired."}) // with status 200, as GitHub does
			return
		}
		answer(w, map[string]any{"access_token": "gho_16C7e42F292c6912E7710c838347Ae178B4a", "scope": "read:org,read:user,user:email", "token_type": "bearer"})
	})
	api := func(pattern string, f http.HandlerFunc) {
		mux.HandleFunc("GET /api/v3"+pattern, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer gho_16C7e42F292c6912E7710c838347Ae178B4a" || r.Header.Get("Accept") != "application/vnd.github+json" || r.UserAgent() == "" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			f(w, r)
		})
	}
	api("/user", func(w http.ResponseWriter, _ *http.Request) { answer(w, h.user) })
	api("/user/emails", func(w http.ResponseWriter, _ *http.Request) { answer(w, h.emails) })
	api("/user/memberships/orgs/{org}", func(w http.ResponseWriter, r *http.Request) {
		state, ok := h.member[r.PathValue("org")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		answer(w, map[string]any{"state": state, "role": "member"})
	})
	api("/user/teams", func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
		out := []map[string]any{}
		for _, t := range h.teams[min(len(h.teams), (page-1)*size):min(len(h.teams), page*size)] {
			out = append(out, map[string]any{"slug": t[1], "name": "Team " + t[1], "organization": map[string]any{"login": t[0]}})
		}
		answer(w, out)
	})
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h
}

func (h *hub) login(t *testing.T, allow ...string) (idp.Person, error) {
	t.Helper()
	p := provider(t, config(t, idp.GitHub, idp.Settings{ClientID: clientID, APIURL: h.URL + "/api/v3", AllowOrgs: allow}))
	sent, err := p.Begin(t.Context(), start)
	if err != nil {
		return idp.Person{}, err
	}
	u := mustURL(t, sent.URL)
	h.challenge = u.Query().Get("code_challenge")
	if u.Path != "/login/oauth/authorize" || u.Query().Get("state") != start.State || u.Query().Get("scope") != "read:user user:email read:org" {
		t.Errorf("the browser is sent to %s", u)
	}
	return p.Finish(t.Context(), idp.Back{Start: start, Code: "good"})
}

func TestGitHub(t *testing.T) {
	h := newHub(t)
	got, err := h.login(t, "acme")
	if err != nil || got.Issuer != h.URL || got.Subject != "583231" || got.Email != "ann@example.com" || !slices.Equal(got.Groups, []string{"acme/ops"}) {
		t.Fatalf("%+v, %v", got, err)
	}
	h.user["login"] = "renamed" // a login name may change hands; the number may not
	if again, err := h.login(t); err != nil || again.Subject != got.Subject || !slices.Equal(again.Groups, []string{"acme/ops", "elsewhere/admins"}) {
		t.Errorf("%+v, %v", again, err)
	}
	h.teams = nil
	for i := range 250 {
		h.teams = append(h.teams, [2]string{"acme", fmt.Sprint("team-", i)})
	}
	if got, err = h.login(t, "acme"); err != nil || len(got.Groups) != 250 {
		t.Errorf("%d groups of 250, %v", len(got.Groups), err)
	}
}

func TestGitHubRefuses(t *testing.T) {
	h := newHub(t)
	for _, allow := range [][]string{{"other"}, {"ACME/../acme"}} {
		if got, err := h.login(t, allow...); !errors.Is(err, sess.ErrDenied) {
			t.Errorf("member of %v: %+v, %v", allow, got, err)
		}
	}
	h.member["acme"] = "pending"
	if got, err := h.login(t, "acme"); !errors.Is(err, sess.ErrDenied) {
		t.Errorf("invited only: %+v, %v", got, err)
	}
	h.emails[1]["verified"] = false
	if got, err := h.login(t); err != nil || got.Email != "" {
		t.Errorf("an address that is not verified: %+v, %v", got, err)
	}
	h.user["id"] = 0
	got, err := h.login(t)
	wantRefused(t, got, err, "who this is")
	h.user["id"] = 1
	for range idp.MaxGroups + 101 {
		h.teams = append(h.teams, [2]string{"acme", "x"})
	}
	got, err = h.login(t)
	wantRefused(t, got, err, "groups")
	p := provider(t, config(t, idp.GitHub, idp.Settings{ClientID: clientID, APIURL: h.URL + "/api/v3"}))
	got, err = p.Finish(t.Context(), idp.Back{Start: start, Code: "bad"})
	wantRefused(t, got, err, "bad_verification_code")
}
