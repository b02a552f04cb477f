package idp

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/crewjam/saml"

	"github.com/sessctl/sess/internal/sess"
)

// emailAttributes are the names under which providers send an e-mail address, if the admin names none.
var emailAttributes = []string{
	"email", "mail", "emailAddress", "urn:oid:0.9.2342.19200300.100.1.3", "urn:oid:1.2.840.113549.1.9.1",
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
}

// multiFactorContexts are the authentication contexts that say more than one factor was shown.
var multiFactorContexts = []string{
	"https://refeds.org/profile/mfa", "http://schemas.microsoft.com/claims/multipleauthn",
	"urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract", "urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorUnregistered",
}

const confirmedByBearer = "urn:oasis:names:tc:SAML:2.0:cm:bearer" //nolint:gosec // a name of SAML

type samlProvider struct{ Config }

func newSAML(c Config) (Provider, error) {
	s := &samlProvider{c}
	switch {
	case (c.Settings.Metadata == "") == (c.Settings.MetadataURL == ""):
		return nil, invalid("a provider of kind saml needs its metadata", "--metadata-file FILE or --metadata-url URL")
	case c.Settings.MetadataURL != "":
		if _, err := c.parse("the metadata's URL", c.Settings.MetadataURL); err != nil {
			return nil, err
		}
		return s, nil
	}
	_, err := s.read([]byte(c.Settings.Metadata))
	if err != nil {
		return nil, err
	}
	return s, nil
}

// service gives our side of the trust, with the provider's metadata as it is now.
func (s *samlProvider) service(ctx context.Context) (*saml.ServiceProvider, error) {
	doc := []byte(s.Settings.Metadata)
	if s.Settings.MetadataURL != "" {
		var err error
		if doc, err = s.fetch(ctx); err != nil {
			return nil, err
		}
	}
	meta, err := s.read(doc)
	if err != nil {
		return nil, err
	}
	return serviceProvider(s.Config, meta), nil
}

func serviceProvider(c Config, meta *saml.EntityDescriptor) *saml.ServiceProvider {
	return &saml.ServiceProvider{
		EntityID: c.Metadata.String(), MetadataURL: *c.Metadata, AcsURL: *c.ACS, IDPMetadata: meta,
		AuthnNameIDFormat: saml.UnspecifiedNameIDFormat, HTTPClient: c.Client,
	}
}

func (s *samlProvider) fetch(ctx context.Context) ([]byte, error) {
	resp, err := get(ctx, s.Client, s.Settings.MetadataURL, "application/samlmetadata+xml, application/xml;q=0.8", "")
	if err != nil {
		return nil, unreachable(err, hostOf(s.Settings.MetadataURL))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, unreachable(fmt.Errorf("its metadata answers with status %d", resp.StatusCode), hostOf(s.Settings.MetadataURL))
	}
	doc, err := io.ReadAll(io.LimitReader(resp.Body, maxMetadata+1))
	if err != nil {
		return nil, unreachable(err, hostOf(s.Settings.MetadataURL))
	}
	return doc, nil
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}

// read takes a metadata document apart; its times count.
func (s *samlProvider) read(doc []byte) (*saml.EntityDescriptor, error) {
	if len(doc) > maxMetadata {
		return nil, invalid(fmt.Sprintf("the metadata is over %d KiB", maxMetadata>>10), "")
	}
	meta, err := parseMetadata(doc)
	if err != nil {
		return nil, sess.Wrap(err, sess.CodeInvalid, "the metadata can't be read: "+cause(err), "it is an XML document (EntityDescriptor) that the provider offers for download")
	}
	if !meta.ValidUntil.IsZero() && s.Now().After(meta.ValidUntil.Add(clockSkew)) {
		return nil, invalid("the metadata was valid until "+meta.ValidUntil.UTC().Format(time.DateOnly), "fetch it again from the provider: sessctl idp set NAME --metadata-file FILE")
	}
	sp := saml.ServiceProvider{IDPMetadata: meta}
	target := sp.GetSSOBindingLocation(saml.HTTPRedirectBinding)
	if meta.EntityID == "" || target == "" {
		return nil, invalid("the metadata names no provider, or none with the HTTP-Redirect binding", "it must describe an identity provider (IDPSSODescriptor)")
	}
	if _, err := s.parse("the address for logins in the metadata", target); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(meta.IDPSSODescriptors, hasKey) {
		return nil, invalid("there is no certificate for signatures in the metadata", "without it nothing that the provider says can be checked")
	}
	return meta, nil
}

// parseMetadata reads the first identity provider of a document.
func parseMetadata(doc []byte) (*saml.EntityDescriptor, error) {
	var one saml.EntityDescriptor
	err := xml.Unmarshal(doc, &one)
	if err == nil {
		return &one, nil
	}
	var all saml.EntitiesDescriptor
	if xml.Unmarshal(doc, &all) != nil {
		return nil, err
	}
	for i := range all.EntityDescriptors {
		if len(all.EntityDescriptors[i].IDPSSODescriptors) > 0 {
			return &all.EntityDescriptors[i], nil
		}
	}
	return nil, errors.New("no identity provider in it")
}

func hasKey(d saml.IDPSSODescriptor) bool {
	return slices.ContainsFunc(d.KeyDescriptors, func(k saml.KeyDescriptor) bool {
		return (k.Use == "" || k.Use == "signing") && len(k.KeyInfo.X509Data.X509Certificates) > 0
	})
}

// Begin implements Provider.
func (s *samlProvider) Begin(ctx context.Context, st Start) (Sent, error) {
	sp, err := s.service(ctx)
	if err != nil {
		return Sent{}, err
	}
	req, err := sp.MakeAuthenticationRequest(sp.GetSSOBindingLocation(saml.HTTPRedirectBinding), saml.HTTPRedirectBinding, saml.HTTPPostBinding)
	if err != nil {
		return Sent{}, fmt.Errorf("make SAML request: %w", err)
	}
	req.NameIDPolicy = nil // which name it gives is set at the provider; a passing one is refused
	u, err := req.Redirect(url.QueryEscape(st.State), sp)
	if err != nil {
		return Sent{}, fmt.Errorf("make SAML request: %w", err)
	}
	return Sent{URL: u.String(), Request: req.ID}, nil
}

// Finish implements Provider.
func (s *samlProvider) Finish(ctx context.Context, b Back) (Person, error) {
	if len(b.Response) > maxResponse {
		return Person{}, refused(fmt.Sprintf("it is over %d KiB", maxResponse>>10))
	}
	if b.Request == "" {
		return Person{}, refused("nobody asked for it")
	}
	sp, err := s.service(ctx)
	if err != nil {
		return Person{}, err
	}
	if err := judgeShape(b.Response); err != nil {
		return Person{}, err
	}
	a, err := parseResponse(sp, b)
	if err != nil {
		return Person{}, err
	}
	if err := s.judge(sp, a); err != nil {
		return Person{}, err
	}
	return s.person(sp, a)
}

// parseResponse checks signatures, recipient, times and which request it answers. Package saml follows pointers that a
// signed document need not have: what it trips over is refused.
func parseResponse(sp *saml.ServiceProvider, b Back) (a *saml.Assertion, err error) {
	defer func() {
		if recover() != nil {
			a, err = nil, refused("a part of the SAML response is missing")
		}
	}()
	a, err = sp.ParseXMLResponse(b.Response, []string{b.Request}, sp.AcsURL)
	if e, ok := errors.AsType[*saml.InvalidResponseError](err); ok && e.PrivateErr != nil {
		return nil, refused(cause(e.PrivateErr)) // never e.Response: it is as good as a password for a minute
	}
	if err != nil {
		return nil, refused("the SAML response can't be read")
	}
	return a, nil
}

// judge checks what package saml lets pass when it is not there at all.
func (s *samlProvider) judge(sp *saml.ServiceProvider, a *saml.Assertion) error {
	ours := slices.ContainsFunc(a.Conditions.AudienceRestrictions, func(r saml.AudienceRestriction) bool { return r.Audience.Value == sp.EntityID })
	confirmed := len(a.Subject.SubjectConfirmations) > 0
	for _, c := range a.Subject.SubjectConfirmations {
		confirmed = confirmed && c.Method == confirmedByBearer && c.SubjectConfirmationData != nil && !c.SubjectConfirmationData.NotOnOrAfter.IsZero()
	}
	switch {
	case !ours:
		return refused("the assertion does not say that it is for this server (audience)")
	case !confirmed:
		return refused("the assertion does not say for which request it is")
	case a.Conditions.NotOnOrAfter.IsZero():
		return refused("the assertion never ends")
	case len(a.AuthnStatements) == 0:
		return refused("the assertion does not say that anybody logged in")
	case a.Subject.NameID == nil || a.Subject.NameID.Value == "":
		return refused("the assertion does not say who this is (NameID)")
	case a.Subject.NameID.Format == string(saml.TransientNameIDFormat):
		return refused("the provider gives people a new name each time (transient NameID): an admin chooses a persistent one there")
	}
	return nil
}

func (s *samlProvider) person(sp *saml.ServiceProvider, a *saml.Assertion) (Person, error) {
	id := a.Subject.NameID
	p := Person{Issuer: sp.IDPMetadata.EntityID, Subject: id.Value, Groups: []string{}}
	names := emailAttributes
	if s.Settings.EmailAttribute != "" {
		names = []string{s.Settings.EmailAttribute}
	}
	if v := attribute(a, names...); len(v) > 0 {
		p.Email = v[0]
	} else if id.Format == string(saml.EmailAddressNameIDFormat) {
		p.Email = id.Value
	}
	groups := s.Settings.GroupsAttribute
	if groups == "" {
		groups = "groups"
	}
	p.Groups = attribute(a, groups)
	for _, st := range a.AuthnStatements {
		if ref := st.AuthnContext.AuthnContextClassRef; ref != nil && slices.Contains(multiFactorContexts, ref.Value) {
			p.MFA = true
		}
	}
	return s.accept(p)
}

// attribute gives the values of the first attribute with one of these names.
func attribute(a *saml.Assertion, names ...string) []string {
	var values []string
	for _, st := range a.AttributeStatements {
		for _, at := range st.Attributes {
			if !slices.Contains(names, at.Name) && (at.FriendlyName == "" || !slices.Contains(names, at.FriendlyName)) {
				continue
			}
			for _, v := range at.Values {
				if text := strings.TrimSpace(v.Value); text != "" {
					values = append(values, text)
				}
			}
		}
	}
	return values
}

// Check implements Provider.
func (s *samlProvider) Check(ctx context.Context) ([]string, error) {
	sp, err := s.service(ctx)
	if err != nil {
		return nil, err
	}
	found := []string{"provider: " + sp.IDPMetadata.EntityID, "login page: " + sp.GetSSOBindingLocation(saml.HTTPRedirectBinding)}
	for _, d := range sp.IDPMetadata.IDPSSODescriptors {
		for _, k := range d.KeyDescriptors {
			if k.Use == "" || k.Use == "signing" {
				found = append(found, fmt.Sprintf("certificates for signatures: %d", len(k.KeyInfo.X509Data.X509Certificates)))
			}
		}
	}
	return found, nil
}

// ServiceMetadata gives our own SAML document, to register at the provider.
func ServiceMetadata(c Config) ([]byte, error) {
	sp := serviceProvider(c, nil)
	sp.AuthnNameIDFormat = saml.PersistentNameIDFormat
	m := sp.Metadata()
	m.ValidUntil, m.CacheDuration = time.Time{}, 0
	for i := range m.SPSSODescriptors {
		yes := true
		m.SPSSODescriptors[i].WantAssertionsSigned, m.SPSSODescriptors[i].ValidUntil = &yes, nil
	}
	doc, err := xml.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write SAML metadata: %w", err)
	}
	return append([]byte(xml.Header), append(doc, '\n')...), nil
}
