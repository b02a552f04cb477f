// Package idp speaks with identity providers: OpenID Connect, SAML 2.0, and GitHub's OAuth. It sends a browser there and
// judges what comes back; it knows no store, no members and no sessions. What it returns was vouched for by the provider
// in answer to the very request that was asked, or it is an error.
package idp

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// The kinds of provider.
const (
	OIDC   = "oidc"
	SAML   = "saml"
	GitHub = "github"
)

// Limits on what a provider says.
const (
	MaxGroups    = 500 // more are an error and not cut short: a rule may forbid something to a group
	maxGroup     = 256 // bytes of a group's name
	maxSubject   = 255 // bytes; OpenID Connect says so
	maxEmail     = 254
	clockSkew    = time.Minute
	maxCause     = 200 // bytes of a cause shown to people
	maxMetadata  = 256 << 10
	maxResponse  = 256 << 10 // bytes of a SAML response
	maxSettings  = 20        // scopes, organisations, domains
	maxTextValue = 512
)

// Settings are what an admin says about a provider, kept as JSON.
type Settings = api.IDPSettings

// Config is what a Provider is made of.
type Config struct {
	Kind     string
	Settings Settings
	Secret   string // the client secret; empty: none
	// Callback is where OIDC and GitHub send the browser back to, ACS where SAML does, and Metadata is our own SAML
	// document, whose URL is our name there.
	Callback, ACS, Metadata *url.URL
	Client                  *http.Client     // NewClient
	Now                     func() time.Time // nil: time.Now
	AllowHTTP               bool             // http is good enough: on one machine, in tests
}

// Person is whom a provider vouches for.
type Person struct {
	Issuer  string   `json:"issuer"`
	Subject string   `json:"subject"` // never given to somebody else by the same issuer
	Email   string   `json:"email"`   // as far as the provider vouches for it, else empty
	Groups  []string `json:"groups"`  // sorted
	MFA     bool     `json:"mfa"`     // with more than one factor
}

// Start is what a login gives a provider; all of it is random.
type Start struct {
	State    string
	Nonce    string
	Verifier string // of PKCE
}

// Sent says where the browser goes, and what must be kept for the answer beside Start.
type Sent struct {
	URL     string
	Request string // id of a SAML request
}

// Back is what came back with the browser, and what was kept.
type Back struct {
	Start

	Code     string // OIDC, GitHub
	Issuer   string // OIDC: the iss parameter, where there is one
	Response []byte // SAML: the document
	Request  string
}

// Provider is one identity provider. It holds no state; its methods may be called from any goroutine.
type Provider interface {
	// Begin gives the address to send the browser to.
	Begin(ctx context.Context, s Start) (Sent, error)
	// Finish judges what the browser brought back.
	Finish(ctx context.Context, b Back) (Person, error)
	// Check tries what can be tried without a person, and says what was found.
	Check(ctx context.Context) ([]string, error)
}

// New makes the Provider that c describes, and says what is wrong with c otherwise. It asks nobody.
func New(c Config) (Provider, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := c.Settings
	for _, list := range [][]string{s.Scopes, s.AllowOrgs, s.AllowDomains} {
		if len(list) > maxSettings {
			return nil, invalid(fmt.Sprintf("more than %d scopes, organisations or domains", maxSettings), "")
		}
	}
	for _, text := range slices.Concat([]string{s.Issuer, s.ClientID, s.GroupsClaim, s.GroupsAttribute, s.EmailAttribute, s.APIURL, s.MetadataURL}, s.Scopes, s.AllowOrgs, s.AllowDomains) {
		if len(text) > maxTextValue || !plain(text) {
			return nil, invalid("a setting of the provider is too long or not plain text", fmt.Sprintf("use up to %d bytes on one line", maxTextValue))
		}
	}
	switch c.Kind {
	case OIDC:
		return newOIDC(c)
	case SAML:
		return newSAML(c)
	case GitHub:
		return newGitHub(c)
	}
	return nil, invalid("there is no such kind of identity provider", "oidc, saml or github")
}

// accept is the last step of every Finish: what must hold of a person whatever the protocol.
func (c Config) accept(p Person) (Person, error) {
	if p.Subject == "" || len(p.Subject) > maxSubject || !plain(p.Subject) {
		return Person{}, refused("it does not say who this is")
	}
	if len(p.Groups) > MaxGroups {
		return Person{}, refused(fmt.Sprintf("it names %d groups; %d are the most", len(p.Groups), MaxGroups))
	}
	for _, g := range p.Groups {
		if g == "" || len(g) > maxGroup || !plain(g) {
			return Person{}, refused(fmt.Sprintf("the name of a group is empty, longer than %d bytes or not plain text", maxGroup))
		}
	}
	slices.Sort(p.Groups)
	p.Groups = slices.Compact(p.Groups)
	p.Email = strings.ToLower(p.Email)
	if len(p.Email) > maxEmail || !plain(p.Email) {
		p.Email = ""
	}
	if len(c.Settings.AllowDomains) > 0 && !allowed(p.Email, c.Settings.AllowDomains) {
		return Person{}, sess.New(sess.CodeDenied, "your e-mail address is not of a domain that may log in here",
			"log in at the provider with the account of this organisation, or ask its admin")
	}
	return p, nil
}

func allowed(email string, domains []string) bool {
	_, domain, _ := strings.Cut(email, "@")
	return domain != "" && slices.ContainsFunc(domains, func(d string) bool { return strings.EqualFold(d, domain) })
}

// parse reads the URL of a provider: https, with a host, and without a password.
func (c Config) parse(what, raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, invalid(what+" is no URL", "it looks like https://login.example.com")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !c.AllowHTTP) {
		return nil, invalid(what+" is not https", "use https")
	}
	return u, nil
}

// refused says that what came back does not hold.
func refused(why string) *sess.Error {
	return sess.New(sess.CodeUnauthenticated, "the identity provider's answer was not accepted: "+why, "try once more; if it stays so, tell an admin of the organisation")
}

// unreachable says that a provider can't be asked now.
func unreachable(err error, host string) *sess.Error {
	return sess.Wrap(err, sess.CodeUnavailable, "can't get an answer from the identity provider "+host+": "+cause(err), "try again in a moment; an admin can try it with: sessctl idp test NAME")
}

func invalid(message, hint string) *sess.Error { return sess.New(sess.CodeInvalid, message, hint) }

// cause gives the part of err that people may see: no addresses of requests, for those may hold codes.
func cause(err error) string {
	text := err.Error()
	if u, ok := asURLError(err); ok {
		text = u.Err.Error()
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	for len(text) > maxCause {
		_, n := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-n]
	}
	return text
}

func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
