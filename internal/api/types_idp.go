package api

import (
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// MaxIDPBody bounds the body of what sets up a provider: SAML metadata is the largest part.
const MaxIDPBody = 512 << 10

// IDPSettings are what an admin says about an identity provider. The client secret is not among them.
type IDPSettings struct {
	Issuer      string   `json:"issuer,omitempty" maxLength:"512" doc:"oidc: its URL, as its tokens name it"`
	ClientID    string   `json:"client_id,omitempty" maxLength:"512" doc:"oidc, github: what this server is called there"`
	Scopes      []string `json:"scopes,omitempty" maxItems:"20" doc:"oidc: to ask for beside openid, email and profile"`
	GroupsClaim string   `json:"groups_claim,omitempty" maxLength:"512" doc:"oidc: the claim with the groups; empty means groups"`
	TrustEmail  bool     `json:"trust_email,omitempty" doc:"oidc: addresses are right though the provider does not say so (email_verified)"`

	Metadata        string `json:"metadata,omitempty" maxLength:"262144" doc:"saml: the provider's metadata document"`
	MetadataURL     string `json:"metadata_url,omitempty" maxLength:"512" doc:"saml: where to read it, at every login"`
	GroupsAttribute string `json:"groups_attribute,omitempty" maxLength:"512" doc:"saml: the attribute with the groups; empty means groups"`
	EmailAttribute  string `json:"email_attribute,omitempty" maxLength:"512" doc:"saml: the attribute with the e-mail address; empty means one of the usual"`

	APIURL    string   `json:"api_url,omitempty" maxLength:"512" doc:"github: the API of a GitHub Enterprise Server; empty means github.com"`
	AllowOrgs []string `json:"allow_orgs,omitempty" maxItems:"20" doc:"github: members of these organisations may log in"`

	AllowDomains []string `json:"allow_domains,omitempty" maxItems:"20" doc:"Only people with an e-mail address of these domains may log in"`
}

// IDPIn sets up an identity provider.
type IDPIn struct {
	Body struct {
		Name         string      `json:"name" maxLength:"63"`
		Kind         string      `json:"kind" enum:"oidc,saml,github"`
		Settings     IDPSettings `json:"settings"`
		Secret       string      `json:"secret,omitempty" maxLength:"1024" doc:"The client secret; it is never shown again"`
		ValidSeconds int64       `json:"valid_seconds,omitempty" minimum:"0" maximum:"31536000" doc:"How long its logins are valid at most; 0 means as the organisation says"`
	}
}

// IDPRef names an identity provider by name or id.
type IDPRef struct {
	IDP string `path:"idp" maxLength:"63"`
}

// IDPPatchIn changes an identity provider: what is not given stays.
type IDPPatchIn struct {
	IDPRef
	Body struct {
		Settings     *IDPSettings `json:"settings,omitempty" doc:"All of them"`
		Secret       *string      `json:"secret,omitempty" maxLength:"1024"`
		ValidSeconds *int64       `json:"valid_seconds,omitempty" minimum:"0" maximum:"31536000"`
	}
}

// IDP is an identity provider that an organisation trusts to say who somebody is.
type IDP struct {
	ID           sess.IDPID  `json:"id"`
	Name         string      `json:"name"`
	Kind         string      `json:"kind"`
	Settings     IDPSettings `json:"settings"`
	HasSecret    bool        `json:"has_secret"`
	ValidSeconds int64       `json:"valid_seconds,omitempty"`
	CreatedAt    time.Time   `json:"created_at"`
	UpdatedAt    time.Time   `json:"updated_at"`
	Accounts     int64       `json:"accounts"` // people it sent
	// What to register at the provider: RedirectURL for oidc and github; ACSURL, and MetadataURL, which is this server's
	// entity id too, for saml.
	RedirectURL string `json:"redirect_url,omitempty"`
	ACSURL      string `json:"acs_url,omitempty"`
	MetadataURL string `json:"metadata_url,omitempty"`
}

// UserProvider is what an identity provider said of somebody at their last login.
type UserProvider struct {
	Name        string    `json:"name"`
	Issuer      string    `json:"issuer"`
	Subject     string    `json:"subject"` // what it calls them
	LastLoginAt time.Time `json:"last_login_at"`
	Groups      []string  `json:"groups"`  // those of the organisation that it named: the user is in them by that
	Unknown     []string  `json:"unknown"` // and those that are none here
}

// IDPList is the identity providers of an organisation, newest first.
type IDPList struct {
	Items []IDP `json:"items"`
}

// IDPTestOut is what was found when a provider was tried without a person.
type IDPTestOut struct {
	OK       bool     `json:"ok"`
	Problem  string   `json:"problem,omitempty"`
	Hint     string   `json:"hint,omitempty"`
	Findings []string `json:"findings"`
}

// DeviceIn begins a login that a person ends in any browser.
type DeviceIn struct {
	Body struct {
		Org    string `json:"org,omitempty" maxLength:"63" doc:"Name of the organisation; empty: asked for in the browser"`
		IDP    string `json:"idp,omitempty" maxLength:"63" doc:"Name of the identity provider; empty: chosen in the browser"`
		Client string `json:"client,omitempty" maxLength:"200" doc:"What logs in, shown to the person"`
	}
}

// DeviceOut is a login under way: the person opens URL and types UserCode, the client redeems DeviceCode every Interval.
type DeviceOut struct {
	DeviceCode      string    `json:"device_code"`
	UserCode        string    `json:"user_code"`
	VerificationURL string    `json:"verification_url"`
	CompleteURL     string    `json:"verification_url_complete"` // with the code in it
	ExpiresAt       time.Time `json:"expires_at"`
	IntervalSeconds int64     `json:"interval_seconds"`
}

// RedeemIn fetches the login that a browser was used for: by the code that came to the client's loopback address and the
// verifier of its challenge (PKCE), or by a device code.
type RedeemIn struct {
	Body struct {
		Code        string `json:"code,omitempty" maxLength:"128"`
		Verifier    string `json:"code_verifier,omitempty" maxLength:"128"`
		RedirectURI string `json:"redirect_uri,omitempty" maxLength:"64"`
		DeviceCode  string `json:"device_code,omitempty" maxLength:"128"`
	}
}

// RedeemOut is the login, or when to ask again.
type RedeemOut struct {
	Status          string    `json:"status" enum:"done,pending,slow_down"`
	IntervalSeconds int64     `json:"interval_seconds,omitempty"` // from now on, unless done
	Login           *LoginOut `json:"login,omitempty"`            // when done
}
