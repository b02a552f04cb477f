package idp

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/sessctl/sess/internal/sess"
)

// googleIssuer gives accounts to everybody: its hosted domain says whose an account is.
const googleIssuer = "https://accounts.google.com"

// algorithms are the signatures accepted on ID tokens: all with a public key. Neither "none" nor one whose key is known to
// others is among them.
var algorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA,
}

// multiFactor are the authentication methods of RFC 8176 that say more than one factor was shown.
var multiFactor = []string{"mfa", "mca"}

type openID struct{ Config }

func newOIDC(c Config) (Provider, error) {
	issuer, err := c.parse("the issuer", c.Settings.Issuer)
	switch {
	case err != nil:
		return nil, err
	case issuer.RawQuery != "" || issuer.ForceQuery: // OpenID Connect Discovery 3; what is asked for would be another path
		return nil, invalid("the issuer has a query", "it looks like https://login.example.com")
	}
	if c.Settings.ClientID == "" {
		return nil, invalid("a provider of kind oidc needs a client id", "--client-id")
	}
	if c.Settings.Issuer == googleIssuer && len(c.Settings.AllowDomains) == 0 {
		return nil, invalid("everybody has an account at "+googleIssuer, "say whose may log in: --allow-domain example.com")
	}
	return &openID{c}, nil
}

// discover reads the provider's own description, anew for every login: keys and addresses that changed count at once.
func (o *openID) discover(ctx context.Context) (context.Context, *oidc.Provider, error) {
	ctx = oidc.ClientContext(ctx, o.Client)
	p, err := oidc.NewProvider(ctx, o.Settings.Issuer)
	if err != nil {
		return ctx, nil, unreachable(err, o.host())
	}
	for _, e := range []string{p.Endpoint().AuthURL, p.Endpoint().TokenURL} {
		if _, err := o.parse("an endpoint of the provider", e); err != nil {
			return ctx, nil, err
		}
	}
	return ctx, p, nil
}

func (o *openID) host() string {
	u, err := url.Parse(o.Settings.Issuer)
	if err != nil {
		return ""
	}
	return u.Host
}

func (o *openID) oauth(p *oidc.Provider) *oauth2.Config {
	scopes := []string{oidc.ScopeOpenID, "email", "profile"}
	for _, s := range o.Settings.Scopes {
		if !slices.Contains(scopes, s) {
			scopes = append(scopes, s)
		}
	}
	return &oauth2.Config{ClientID: o.Settings.ClientID, ClientSecret: o.Secret, Endpoint: p.Endpoint(), RedirectURL: o.Callback.String(), Scopes: scopes}
}

// Begin implements Provider.
func (o *openID) Begin(ctx context.Context, s Start) (Sent, error) {
	_, p, err := o.discover(ctx)
	if err != nil {
		return Sent{}, err
	}
	return Sent{URL: o.oauth(p).AuthCodeURL(s.State, oidc.Nonce(s.Nonce), oauth2.S256ChallengeOption(s.Verifier))}, nil
}

// Finish implements Provider.
func (o *openID) Finish(ctx context.Context, b Back) (Person, error) {
	if b.Issuer != "" && b.Issuer != o.Settings.Issuer {
		return Person{}, refused("it comes from another provider") // RFC 9207
	}
	ctx, p, err := o.discover(ctx)
	if err != nil {
		return Person{}, err
	}
	token, err := o.oauth(p).Exchange(ctx, b.Code, oauth2.VerifierOption(b.Verifier))
	if err != nil {
		return Person{}, o.exchangeError(err)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return Person{}, refused("there is no ID token in it")
	}
	id, err := p.VerifierContext(ctx, &oidc.Config{
		ClientID: o.Settings.ClientID, SupportedSigningAlgs: algorithms, SkipExpiryCheck: true, // times are checked below, with our skew
	}).Verify(ctx, raw)
	if err != nil {
		return Person{}, refused(cause(err))
	}
	var c claims
	if err := id.Claims(&c); err != nil {
		return Person{}, refused("the ID token can't be read")
	}
	if err := o.judge(id, c, b.Nonce); err != nil {
		return Person{}, err
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return Person{}, refused(cause(err))
		}
	}
	var all map[string]json.RawMessage
	if err := id.Claims(&all); err != nil {
		return Person{}, refused("the ID token can't be read")
	}
	if all, err = o.userInfo(ctx, p, token, id.Subject, all); err != nil {
		return Person{}, err
	}
	return o.person(id, c, all)
}

// claims are those that decide whether an ID token holds.
type claims struct {
	AZP       string    `json:"azp"`
	Expiry    *unixTime `json:"exp"`
	IssuedAt  *unixTime `json:"iat"`
	NotBefore *unixTime `json:"nbf"`
	AMR       []string  `json:"amr"`
}

// unixTime is a NumericDate: seconds, with a fraction perhaps.
type unixTime struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (t *unixTime) UnmarshalJSON(b []byte) error {
	var f float64
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	if f < 0 || f > 1e11 {
		return errors.New("no time")
	}
	t.Time = time.Unix(int64(f), 0)
	return nil
}

// judge checks what package oidc leaves to its callers: times, nonce, and for whom the token was made.
func (o *openID) judge(id *oidc.IDToken, c claims, nonce string) error {
	now := o.Now()
	switch {
	case c.Expiry == nil || !now.Before(c.Expiry.Add(clockSkew)):
		return refused("the ID token has expired")
	case c.NotBefore != nil && now.Add(clockSkew).Before(c.NotBefore.Time):
		return refused("the ID token is not valid yet")
	case c.IssuedAt == nil || now.Add(clockSkew).Before(c.IssuedAt.Time):
		return refused("the ID token is from the future: compare the clocks")
	case nonce == "" || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1:
		return refused("the ID token has another nonce: it is not the answer to this login")
	case c.AZP != "" && c.AZP != o.Settings.ClientID:
		return refused("the ID token was made for another application (azp)")
	case len(id.Audience) > 1 && c.AZP == "":
		return refused("the ID token is for several applications and does not say which asked (azp)")
	}
	return nil
}

// userInfo adds what a provider keeps out of its ID tokens. What the token says counts first.
func (o *openID) userInfo(ctx context.Context, p *oidc.Provider, token *oauth2.Token, subject string, all map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	_, email := all["email"]
	_, groups := all[o.groupsClaim()]
	if email && groups || p.UserInfoEndpoint() == "" {
		return all, nil
	}
	if _, err := o.parse("an endpoint of the provider", p.UserInfoEndpoint()); err != nil {
		return nil, err
	}
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return nil, unreachable(err, o.host())
	}
	if info.Subject != subject { // OpenID Connect Core 5.3.2
		return nil, refused("its user info is about somebody else")
	}
	more := map[string]json.RawMessage{}
	if err := info.Claims(&more); err != nil {
		return nil, refused("its user info can't be read")
	}
	for k, v := range all {
		more[k] = v
	}
	if email == (all["email_verified"] == nil) { // an address and its verification come from one place
		delete(more, "email_verified")
	}
	return more, nil
}

func (o *openID) groupsClaim() string {
	if o.Settings.GroupsClaim != "" {
		return o.Settings.GroupsClaim
	}
	return "groups"
}

func (o *openID) person(id *oidc.IDToken, c claims, all map[string]json.RawMessage) (Person, error) {
	groups, err := texts(all[o.groupsClaim()])
	if err != nil {
		return Person{}, refused(fmt.Sprintf("the claim %s is neither a text nor a list of texts", o.groupsClaim()))
	}
	p := Person{Issuer: o.Settings.Issuer, Subject: id.Subject, Groups: groups}
	p.MFA = slices.ContainsFunc(c.AMR, func(m string) bool { return slices.Contains(multiFactor, m) })
	if o.Settings.TrustEmail || truth(all["email_verified"]) {
		_ = json.Unmarshal(all["email"], &p.Email) // one that is no text counts as none
	}
	if o.Settings.Issuer == googleIssuer {
		var hd string
		_ = json.Unmarshal(all["hd"], &hd) // as above
		if hd == "" || !slices.ContainsFunc(o.Settings.AllowDomains, func(d string) bool { return strings.EqualFold(d, hd) }) {
			return Person{}, sess.New(sess.CodeDenied, "this Google account belongs to no organisation that may log in here", "choose the account of your organisation")
		}
	}
	return o.accept(p)
}

// texts reads a claim that is one text or a list of them; absent, null: none.
func texts(raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, nil
	}
	var list []string
	return list, json.Unmarshal(raw, &list)
}

// truth reads a claim that is true, or "true" as some providers write it.
func truth(raw json.RawMessage) bool { return string(raw) == "true" || string(raw) == `"true"` }

// exchangeError says why a code was not taken; the body of the answer stays out of it.
func (o *openID) exchangeError(err error) error {
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return exchangeRefused(e)
	}
	return unreachable(err, o.host())
}

func exchangeRefused(e *oauth2.RetrieveError) error {
	code := e.ErrorCode
	if code == "" || len(code) > 64 || !plain(code) {
		code = fmt.Sprintf("status %d", e.Response.StatusCode)
	}
	if code == "invalid_client" || code == "incorrect_client_credentials" {
		return sess.New(sess.CodeUnauthenticated, "the identity provider does not accept this server's client id or secret",
			"an admin of the organisation sets it anew: sessctl idp set NAME --client-secret-file FILE")
	}
	return refused("it does not take the code (" + code + ")")
}

// Check implements Provider.
func (o *openID) Check(ctx context.Context) ([]string, error) {
	ctx, p, err := o.discover(ctx)
	if err != nil {
		return nil, err
	}
	found := []string{"discovery: " + o.Settings.Issuer + "/.well-known/openid-configuration", "login page: " + p.Endpoint().AuthURL}
	var doc struct {
		Keys string   `json:"jwks_uri"`
		PKCE []string `json:"code_challenge_methods_supported"`
	}
	if err := p.Claims(&doc); err != nil {
		return nil, refused("its description can't be read")
	}
	resp, err := get(ctx, o.Client, doc.Keys, "application/json", "")
	if err != nil {
		return nil, unreachable(err, o.host())
	}
	defer resp.Body.Close()
	var set struct {
		Keys []struct {
			Alg string `json:"alg"`
			Kty string `json:"kty"`
		} `json:"keys"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil || len(set.Keys) == 0 {
		return nil, invalid("the provider shows no keys to check its tokens with, at "+doc.Keys, "is the issuer right?")
	}
	found = append(found, fmt.Sprintf("keys: %d at %s", len(set.Keys), doc.Keys))
	if !slices.Contains(doc.PKCE, "S256") {
		found = append(found, "note: it does not announce PKCE (S256); sess-server uses it all the same")
	}
	return found, nil
}
