package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sessctl/sess/internal/sess"
)

// hubUser is an account at the fake GitHub.
type hubUser struct {
	id    int
	email string
	orgs  map[string]string // state of the membership
	teams []string          // org/team
}

// hub is a GitHub Enterprise Server as its documentation describes it: the page where somebody who is logged in there allows
// an OAuth app, the exchange of a code that serves once, with PKCE, and the API.
type hub struct {
	*httptest.Server

	redirect string // registered for the app

	mu     sync.Mutex // protects the following
	user   hubUser    // who sits at the browser
	codes  map[string]url.Values
	tokens map[string]hubUser
}

const hubClient, hubSecret = "Iv1.0123456789abcdef", "the-oauth-app-s-secret"

func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{codes: map[string]url.Values{}, tokens: map[string]hubUser{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login/oauth/authorize", h.authorize)
	mux.HandleFunc("POST /login/oauth/authorize", h.authorized)
	mux.HandleFunc("POST /login/oauth/access_token", h.token)
	mux.HandleFunc("GET /api/v3/meta", func(w http.ResponseWriter, _ *http.Request) {
		hubJSON(w, map[string]any{"installed_version": "3.14.0"})
	})
	mux.HandleFunc("GET /api/v3/user", h.api(func(u hubUser, _ *http.Request) any {
		return map[string]any{"login": "ann", "id": u.id, "type": "User"}
	}))
	mux.HandleFunc("GET /api/v3/user/emails", h.api(func(u hubUser, _ *http.Request) any {
		return []any{map[string]any{"email": u.email, "primary": true, "verified": true, "visibility": "private"}}
	}))
	mux.HandleFunc("GET /api/v3/user/memberships/orgs/{org}", h.api(func(u hubUser, r *http.Request) any {
		if state := u.orgs[r.PathValue("org")]; state != "" {
			return map[string]any{"state": state, "role": "member", "organization": map[string]any{"login": r.PathValue("org")}}
		}
		return nil
	}))
	mux.HandleFunc("GET /api/v3/user/teams", h.api(func(u hubUser, r *http.Request) any {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
		list := []any{}
		for _, team := range u.teams[min(len(u.teams), (page-1)*size):min(len(u.teams), page*size)] {
			org, slug, _ := strings.Cut(team, "/")
			list = append(list, map[string]any{"slug": slug, "name": "The " + slug, "organization": map[string]any{"login": org}})
		}
		return list
	}))
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h
}

func hubJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(v)
}

// sits has somebody else sit at the browser.
func (h *hub) sits(u hubUser) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.user = u
}

func (h *hub) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	scopes := strings.Fields(q.Get("scope"))
	if q.Get("client_id") != hubClient || q.Get("redirect_uri") != h.redirect || q.Get("code_challenge_method") != "S256" || !slices.Contains(scopes, "read:org") {
		http.Error(w, "The redirect_uri is not associated with this application, or the request is no good: "+r.URL.RawQuery, http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprintf(w, `<form method="post" action="?%s"><button id="authorize">Authorize sess</button></form>`, html.EscapeString(r.URL.RawQuery))
}

func (h *hub) authorized(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	h.mu.Lock()
	code := fmt.Sprintf("code-%d", len(h.codes))
	h.codes[code] = q
	h.tokens["gho_"+code] = h.user
	h.mu.Unlock()
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
}

// token answers with status 200 also where it refuses, as GitHub does.
func (h *hub) token(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	code := r.FormValue("code")
	asked, ok := h.codes[code]
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	switch {
	case r.FormValue("client_id") != hubClient || r.FormValue("client_secret") != hubSecret:
		hubJSON(w, map[string]any{"error": "incorrect_client_credentials", "error_description": "The client_id and/or client_secret passed are incorrect."})
	case !ok || r.FormValue("redirect_uri") != asked.Get("redirect_uri") || base64.RawURLEncoding.EncodeToString(sum[:]) != asked.Get("code_challenge"):
		hubJSON(w, map[string]any{"error": "bad_verification_code", "error_description": "The code passed is incorrect or expired."})
	default:
		delete(h.codes, code)
		h.codes["used "+code] = nil
		hubJSON(w, map[string]any{"access_token": "gho_" + code, "scope": "read:org,read:user,user:email", "token_type": "bearer"})
	}
}

// api is a question that somebody's token may ask.
func (h *hub) api(answer func(hubUser, *http.Request) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		u, ok := h.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		h.mu.Unlock()
		switch v := answer(u, r); {
		case !ok || r.UserAgent() == "" || r.Header.Get("Accept") != "application/vnd.github+json":
			w.WriteHeader(http.StatusUnauthorized)
			hubJSON(w, map[string]any{"message": "Bad credentials"})
		case v == nil:
			w.WriteHeader(http.StatusNotFound)
			hubJSON(w, map[string]any{"message": "Not Found"})
		default:
			hubJSON(w, v)
		}
	}
}

// People log in by GitHub in a real browser: teams become groups, as GitHub says them at each login; an address at GitHub
// proves nothing; and whoever is in none of the organisations stays outside.
func TestLoginByGitHub(t *testing.T) {
	t.Parallel()
	plain, err := newWorld("", func(w *world) { w.flags = append(w.flags, "--idp-allow-private") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { plain.finish(t) })
	plain.mustAccept(t)
	w, h := &idpWorld{world: plain, t: t}, newHub(t)
	secret := w.path("client-secret")
	if err := os.WriteFile(secret, []byte(hubSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type provider struct {
		RedirectURL string `json:"redirect_url"`
	}
	p, err := get[provider](w.world, "idp", "add", "hub", "--kind", "github", "--api-url", h.URL+"/api/v3", "--client-id", hubClient, "--client-secret-file", secret, "--allow-org", "acme")
	if err != nil {
		t.Fatal(err)
	}
	h.redirect = p.RedirectURL
	for _, args := range [][]string{{"idp", "test", "hub"}, {"group", "create", "acme/ops"}, {"grant", "add", "--group", "acme/ops", "--role", "operator"}} {
		if err := w.do(args...); err != nil {
			t.Fatal(err)
		}
	}
	ann := hubUser{id: 583231, email: "ann@example.com", orgs: map[string]string{"acme": "active"}, teams: []string{"acme/ops", "elsewhere/ops"}}
	for i := range 120 { // on a second page
		ann.teams = append([]string{fmt.Sprintf("acme/team-%d", i)}, ann.teams...)
	}
	b := chrome(t)
	login := func(who string, u hubUser, last chromedp.Action[chromedp.Void]) func() answer {
		h.sits(u)
		page, wait := w.loginByBrowser(who, "--idp", "hub")
		drive(b, t, "GitHub's page", chromedp.Navigate(page), chromedp.WaitVisible(chromedp.ID("authorize")), chromedp.Click(chromedp.ID("authorize")), last)
		return wait
	}
	w.landed(b, t, login("ann", ann, chromedp.WaitVisible(chromedp.CSS("main"))), ann.email)
	if me, err := w.whoami("ann"); err != nil || me.Kind != sess.UserIDP || me.Name != ann.email || len(me.Grants) != 1 || me.Grants[0].Role != sess.RoleOperator {
		t.Fatalf("%+v, %v; want what the team gives", me, err)
	}
	// Another address, no team: the same person, with nothing.
	ann.email, ann.teams = "ann@new.example", nil
	w.landed(b, t, login("ann", ann, chromedp.WaitVisible(chromedp.CSS("main"))), ann.email)
	if me, err := w.whoami("ann"); err != nil || me.Name != ann.email || len(me.Grants) != 0 || me.Hint == "" {
		t.Errorf("%+v, %v; want nothing, and to be told what to ask for", me, err)
	}
	// Somebody else who has the admin's address there.
	refused := chromedp.WaitVisible(chromedp.CSS(".problem"))
	for who, u := range map[string]hubUser{
		"namesake": {id: 1, email: adminEmail, orgs: map[string]string{"acme": "active"}},
		"stranger": {id: 2, email: "eve@example.com"},
		"invited":  {id: 3, email: "ivy@example.com", orgs: map[string]string{"acme": "pending"}},
	} {
		wait := login(who, u, refused)
		text, err := chromedp.Run(b, chromedp.Text(chromedp.CSS(".problem")))
		if err != nil || who == "namesake" != strings.Contains(text, "has your e-mail address already") || who != "namesake" != strings.Contains(text, "no member of a GitHub organisation") {
			t.Errorf("%s is told %q, %v", who, text, err)
		}
		if _, err := w.whoami(who); err == nil {
			t.Errorf("%s is logged in", who)
		}
		_ = wait // it goes on waiting, and ends with the test
	}
}
