package idp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/oauth2"

	"github.com/sessctl/sess/internal/sess"
)

const (
	githubAPI   = "https://api.github.com"
	githubWeb   = "https://github.com"
	githubPage  = 100
	githubPages = MaxGroups/githubPage + 1
	githubType  = "application/vnd.github+json"
)

// github is an OAuth app at GitHub or at a GitHub Enterprise Server.
type github struct {
	Config
	api, web string // without a slash at the end
}

func newGitHub(c Config) (Provider, error) {
	g := &github{Config: c, api: githubAPI, web: githubWeb}
	if c.Settings.APIURL != "" && strings.TrimRight(c.Settings.APIURL, "/") != githubAPI {
		u, err := c.parse("the API's URL", strings.TrimRight(c.Settings.APIURL, "/"))
		if err != nil {
			return nil, err
		}
		web, ok := strings.CutSuffix(u.String(), "/api/v3")
		if !ok {
			return nil, invalid("the API's URL is not that of a GitHub Enterprise Server", "it looks like https://github.example.com/api/v3")
		}
		g.api, g.web = u.String(), web
	}
	if c.Settings.ClientID == "" || c.Secret == "" {
		return nil, invalid("a provider of kind github needs the client id and secret of an OAuth app", "--client-id and --client-secret-file")
	}
	if g.web == githubWeb && len(c.Settings.AllowOrgs) == 0 {
		return nil, invalid("everybody may have an account at GitHub", "say whose members may log in: --allow-org ORG")
	}
	return g, nil
}

func (g *github) oauth() *oauth2.Config {
	return &oauth2.Config{
		ClientID: g.Settings.ClientID, ClientSecret: g.Secret, RedirectURL: g.Callback.String(), Scopes: []string{"read:user", "user:email", "read:org"},
		Endpoint: oauth2.Endpoint{AuthURL: g.web + "/login/oauth/authorize", TokenURL: g.web + "/login/oauth/access_token", AuthStyle: oauth2.AuthStyleInParams},
	}
}

func (g *github) host() string {
	u, err := url.Parse(g.web)
	if err != nil {
		return ""
	}
	return u.Host
}

// Begin implements Provider.
func (g *github) Begin(_ context.Context, s Start) (Sent, error) {
	return Sent{URL: g.oauth().AuthCodeURL(s.State, oauth2.S256ChallengeOption(s.Verifier), oauth2.SetAuthURLParam("allow_signup", "false"))}, nil
}

// Finish implements Provider.
func (g *github) Finish(ctx context.Context, b Back) (Person, error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, g.Client)
	token, err := g.oauth().Exchange(ctx, b.Code, oauth2.VerifierOption(b.Verifier))
	if err != nil {
		if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
			return Person{}, exchangeRefused(e)
		}
		return Person{}, unreachable(err, g.host())
	}
	var user struct {
		ID int64 `json:"id"` // the login can be given up and taken by somebody else; this can't
	}
	if _, err := g.ask(ctx, token, "/user", &user); err != nil {
		return Person{}, err
	}
	if user.ID <= 0 {
		return Person{}, refused("it does not say who this is")
	}
	p := Person{Issuer: g.web, Subject: strconv.FormatInt(user.ID, 10)}
	if err := g.member(ctx, token); err != nil {
		return Person{}, err
	}
	if p.Email, err = g.email(ctx, token); err != nil {
		return Person{}, err
	}
	if p.Groups, err = g.teams(ctx, token); err != nil {
		return Person{}, err
	}
	return g.accept(p)
}

// member checks that the person is an active member of one of the organisations that may log in.
func (g *github) member(ctx context.Context, token *oauth2.Token) error {
	if len(g.Settings.AllowOrgs) == 0 {
		return nil
	}
	for _, org := range g.Settings.AllowOrgs {
		var m struct {
			State string `json:"state"`
		}
		status, err := g.ask(ctx, token, "/user/memberships/orgs/"+url.PathEscape(org), &m)
		switch {
		case status == http.StatusNotFound, status == http.StatusForbidden:
			continue // no member, or the organisation has not approved the app
		case err != nil:
			return err
		case m.State == "active":
			return nil
		}
	}
	return sess.New(sess.CodeDenied, "you are no member of a GitHub organisation that may log in here",
		"ask its owner to invite you, and to approve this application for the organisation: "+strings.Join(g.Settings.AllowOrgs, ", "))
}

// email gives the primary address, if it is verified.
func (g *github) email(ctx context.Context, token *oauth2.Token) (string, error) {
	var list []struct {
		Email    string `json:"email"`
		Primary  bool   `json:"primary"`
		Verified bool   `json:"verified"`
	}
	if _, err := g.ask(ctx, token, "/user/emails?per_page="+strconv.Itoa(githubPage), &list); err != nil {
		return "", err
	}
	for _, e := range list {
		if e.Primary && e.Verified {
			return e.Email, nil
		}
	}
	return "", nil
}

// teams gives the teams as "org/team", of the organisations that may log in where those are named.
func (g *github) teams(ctx context.Context, token *oauth2.Token) ([]string, error) {
	var groups []string
	for page := 1; page <= githubPages; page++ {
		var list []struct {
			Slug string `json:"slug"`
			Org  struct {
				Login string `json:"login"`
			} `json:"organization"`
		}
		if _, err := g.ask(ctx, token, fmt.Sprintf("/user/teams?per_page=%d&page=%d", githubPage, page), &list); err != nil {
			return nil, err
		}
		for _, t := range list {
			if len(g.Settings.AllowOrgs) == 0 || slices.ContainsFunc(g.Settings.AllowOrgs, func(o string) bool { return strings.EqualFold(o, t.Org.Login) }) {
				groups = append(groups, t.Org.Login+"/"+t.Slug)
			}
		}
		if len(list) < githubPage {
			return groups, nil
		}
	}
	return groups, nil // too many, which accept refuses
}

// ask asks the API as the person.
func (g *github) ask(ctx context.Context, token *oauth2.Token, path string, v any) (status int, err error) {
	resp, err := get(ctx, g.Client, g.api+path, githubType, token.AccessToken)
	if err != nil {
		return 0, unreachable(err, g.host())
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, refused(fmt.Sprintf("GitHub answers a question about you with status %d", resp.StatusCode))
	}
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		return resp.StatusCode, unreachable(err, g.host())
	}
	return resp.StatusCode, nil
}

// Check implements Provider.
func (g *github) Check(ctx context.Context) ([]string, error) {
	resp, err := get(ctx, g.Client, g.api+"/meta", githubType, "")
	if err != nil {
		return nil, unreachable(err, g.host())
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return nil, unreachable(fmt.Errorf("it answers with status %d", resp.StatusCode), g.host())
	}
	return []string{"login page: " + g.web + "/login/oauth/authorize", "API: " + g.api + " answers"}, nil
}
