package idp_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/sessctl/sess/internal/identity/idp"
	"github.com/sessctl/sess/internal/sess"
)

// samlFake is a SAML provider that says whatever a test wants it to, signed with keys of its own.
type samlFake struct {
	t   *testing.T
	idp saml.IdentityProvider
	sp  *saml.EntityDescriptor
}

// GetServiceProvider implements saml.ServiceProviderProvider.
func (f *samlFake) GetServiceProvider(*http.Request, string) (*saml.EntityDescriptor, error) {
	return f.sp, nil
}

func certificate(t *testing.T) (*rsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

func newSAMLFake(t *testing.T) *samlFake {
	t.Helper()
	key, cert := certificate(t)
	f := &samlFake{t: t, idp: saml.IdentityProvider{
		Key: key, Certificate: cert, MetadataURL: *mustURL(t, "https://saml.example/metadata"), SSOURL: *mustURL(t, "https://saml.example/sso"),
		SignatureMethod: dsig.RSASHA256SignatureMethod,
	}}
	f.idp.ServiceProviderProvider = f
	return f
}

func (f *samlFake) metadata() string {
	b, err := xml.Marshal(f.idp.Metadata())
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

func (f *samlFake) config(change func(*idp.Settings)) idp.Config {
	s := idp.Settings{Metadata: f.metadata(), GroupsAttribute: "eduPersonAffiliation"}
	if change != nil {
		change(&s)
	}
	c := config(f.t, idp.SAML, s)
	c.Now, c.AllowHTTP = nil, false // package saml looks at the real clock
	doc, err := idp.ServiceMetadata(c)
	if err != nil {
		f.t.Fatal(err)
	}
	f.sp = new(saml.EntityDescriptor)
	if err := xml.Unmarshal(doc, f.sp); err != nil {
		f.t.Fatal(err)
	}
	return c
}

// respond makes a response to the request of sent. change alters the assertion before it is signed, after the document
// after that.
func (f *samlFake) respond(sent idp.Sent, change func(*saml.Assertion), after func(*etree.Document)) []byte {
	f.t.Helper()
	r := httptest.NewRequest(http.MethodGet, sent.URL, nil)
	req, err := saml.NewIdpAuthnRequest(&f.idp, r)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := req.Validate(); err != nil {
		f.t.Fatal(err)
	}
	err = saml.DefaultAssertionMaker{}.MakeAssertion(req, &saml.Session{
		ID: "x", CreateTime: time.Now(), NameID: "ann-248289761001", NameIDFormat: string(saml.PersistentNameIDFormat),
		UserEmail: "Ann@example.com", Groups: []string{"ops", "dev"},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if change != nil {
		change(req.Assertion)
	}
	if err := errors.Join(req.MakeAssertionEl(), req.MakeResponse()); err != nil {
		f.t.Fatal(err)
	}
	doc := etree.NewDocument()
	doc.SetRoot(req.ResponseEl)
	if after != nil {
		after(doc)
	}
	b, err := doc.WriteToBytes()
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

func TestSAML(t *testing.T) {
	f := newSAMLFake(t)
	p := provider(t, f.config(nil))
	sent, err := p.Begin(t.Context(), start)
	if err != nil {
		t.Fatal(err)
	}
	u := mustURL(t, sent.URL)
	if state, _ := url.QueryUnescape(u.Query().Get("RelayState")); u.Host != "saml.example" || state != start.State {
		t.Errorf("the browser is sent to %s", u)
	}
	got, err := p.Finish(t.Context(), idp.Back{Response: f.respond(sent, nil, nil), Request: sent.Request})
	if err != nil {
		t.Fatal(err)
	}
	if got.Issuer != "https://saml.example/metadata" || got.Subject != "ann-248289761001" || got.Email != "ann@example.com" || !slices.Equal(got.Groups, []string{"dev", "ops"}) || got.MFA {
		t.Errorf("%+v", got)
	}
	got, err = p.Finish(t.Context(), idp.Back{Request: sent.Request, Response: f.respond(sent, func(a *saml.Assertion) {
		a.AuthnStatements[0].AuthnContext.AuthnContextClassRef.Value = "https://refeds.org/profile/mfa"
	}, nil)})
	if err != nil || !got.MFA {
		t.Errorf("%+v, %v; want more than one factor", got, err)
	}
}

// Assertions that must not be taken. Each differs from a good one in one thing.
func TestSAMLRefusesHostileAssertions(t *testing.T) {
	confirmation := func(f func(*saml.SubjectConfirmationData)) func(*saml.Assertion) {
		return func(a *saml.Assertion) { f(a.Subject.SubjectConfirmations[0].SubjectConfirmationData) }
	}
	long := time.Now().Add(-time.Hour)
	for name, c := range map[string]struct {
		change func(*saml.Assertion)
		after  func(*etree.Document)
		back   func(*idp.Back)
		want   string
	}{
		"wrong audience": {change: func(a *saml.Assertion) { a.Conditions.AudienceRestrictions[0].Audience.Value = "https://other.example" }, want: "Audience"},
		"no audience":    {change: func(a *saml.Assertion) { a.Conditions.AudienceRestrictions = nil }, want: "audience"},
		"wrong recipient": {
			change: confirmation(func(d *saml.SubjectConfirmationData) { d.Recipient = "https://other.example/acs" }),
			want:   "Recipient",
		},
		"answers another request": {change: confirmation(func(d *saml.SubjectConfirmationData) { d.InResponseTo = "id-other" }), want: "request ID"},
		"answers no request":      {change: confirmation(func(d *saml.SubjectConfirmationData) { d.InResponseTo = "" }), want: "request ID"},
		"confirmation ran out":    {change: confirmation(func(d *saml.SubjectConfirmationData) { d.NotOnOrAfter = long }), want: "expired"},
		"nothing confirmed":       {change: func(a *saml.Assertion) { a.Subject.SubjectConfirmations = nil }, want: "which request"},
		"confirmed without data":  {change: func(a *saml.Assertion) { a.Subject.SubjectConfirmations[0].SubjectConfirmationData = nil }, want: "missing"},
		"confirmed otherwise": {change: func(a *saml.Assertion) {
			a.Subject.SubjectConfirmations[0].Method = "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"
		}, want: "which request"},
		"ran out":                  {change: func(a *saml.Assertion) { a.Conditions.NotOnOrAfter = long }, want: "expired"},
		"not yet valid":            {change: func(a *saml.Assertion) { a.Conditions.NotBefore = time.Now().Add(time.Hour) }, want: "not yet valid"},
		"issued long ago":          {change: func(a *saml.Assertion) { a.IssueInstant = long }, want: "expired"},
		"no conditions":            {change: func(a *saml.Assertion) { a.Conditions = nil }, want: "missing"},
		"wrong issuer":             {change: func(a *saml.Assertion) { a.Issuer.Value = "https://evil.example" }, want: "issuer"},
		"nobody logged in":         {change: func(a *saml.Assertion) { a.AuthnStatements = nil }, want: "logged in"},
		"no name":                  {change: func(a *saml.Assertion) { a.Subject.NameID.Value = "" }, want: "NameID"},
		"a passing name":           {change: func(a *saml.Assertion) { a.Subject.NameID.Format = string(saml.TransientNameIDFormat) }, want: "transient"},
		"to another request":       {back: func(b *idp.Back) { b.Request = "id-of-another-login" }, want: "InResponseTo"},
		"to no request":            {back: func(b *idp.Back) { b.Request = "" }, want: "nobody asked"},
		"not XML":                  {back: func(b *idp.Back) { b.Response = []byte("hello") }, want: ""},
		"empty":                    {back: func(b *idp.Back) { b.Response = nil }, want: ""},
		"too large":                {back: func(b *idp.Back) { b.Response = append(b.Response, bytes.Repeat([]byte(" "), 256<<10)...) }, want: "KiB"},
		"a comment within a name":  {after: changeText("NameID", "admin<!-- -->"), want: ""},
		"a name changed":           {after: changeText("NameID", "admin"), want: ""},
		"an attribute changed":     {after: changeText("AttributeValue", "root@example.com"), want: ""},
		"signature taken away":     {after: unsign, want: "signature"},
		"wrapped":                  {after: wrap, want: ""},
		"another assertion before": {after: prepend, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newSAMLFake(t)
			p := provider(t, f.config(nil))
			sent, err := p.Begin(t.Context(), start)
			if err != nil {
				t.Fatal(err)
			}
			back := idp.Back{Response: f.respond(sent, c.change, c.after), Request: sent.Request}
			if c.back != nil {
				c.back(&back)
			}
			got, err := p.Finish(t.Context(), back)
			if err == nil && strings.HasPrefix(name, "another assertion") && got.Subject == "ann-248289761001" {
				return // the one that is signed counts
			}
			wantRefused(t, got, err, c.want)
		})
	}
}

// signed is the path of what the signature is on in these tests; the response as a whole is not signed, as most do.
func changeText(tag, text string) func(*etree.Document) {
	return func(d *etree.Document) {
		unsignResponse(d)
		d.FindElement("//" + tag).SetText(text)
	}
}

func unsignResponse(d *etree.Document) {
	if sig := d.Root().SelectElement("Signature"); sig != nil {
		d.Root().RemoveChild(sig)
	}
}

func unsign(d *etree.Document) {
	unsignResponse(d)
	a := d.Root().SelectElement("Assertion")
	a.RemoveChild(a.SelectElement("Signature"))
}

// wrap puts the signed assertion into one of the attacker's, whose name is read first.
func wrap(d *etree.Document) {
	unsignResponse(d)
	inner := d.Root().SelectElement("Assertion")
	evil := inner.Copy()
	evil.RemoveChild(evil.SelectElement("Signature"))
	evil.FindElement(".//NameID").SetText("admin")
	d.Root().RemoveChild(inner)
	evil.CreateElement("saml:Advice").AddChild(inner)
	evil.AddChild(inner.SelectElement("Signature").Copy())
	d.Root().AddChild(evil)
}

func prepend(d *etree.Document) {
	unsignResponse(d)
	a := d.Root().SelectElement("Assertion")
	evil := a.Copy()
	evil.RemoveChild(evil.SelectElement("Signature"))
	evil.FindElement(".//NameID").SetText("admin")
	d.Root().InsertChildAt(a.Index(), evil)
}

func TestSAMLRefusesStrangersAndSHA1(t *testing.T) {
	f, stranger := newSAMLFake(t), newSAMLFake(t)
	p := provider(t, f.config(nil))
	sent, err := p.Begin(t.Context(), start)
	if err != nil {
		t.Fatal(err)
	}
	stranger.sp = f.sp
	got, err := p.Finish(t.Context(), idp.Back{Response: stranger.respond(sent, nil, nil), Request: sent.Request})
	wantRefused(t, got, err, "")
	f.idp.SignatureMethod = dsig.RSASHA1SignatureMethod
	got, err = p.Finish(t.Context(), idp.Back{Response: f.respond(sent, nil, nil), Request: sent.Request})
	wantRefused(t, got, err, "SHA-1")
}

// Metadata at an address is read at every login, so a new certificate counts at once and an old one no more.
func TestSAMLMetadataIsReadAgain(t *testing.T) {
	f := newSAMLFake(t)
	doc := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(doc)) }))
	defer srv.Close()
	c := f.config(func(s *idp.Settings) { s.Metadata = "" })
	c.Settings.MetadataURL, c.AllowHTTP = srv.URL, true
	p := provider(t, c)
	if _, err := p.Begin(t.Context(), start); !errors.Is(err, sess.ErrInvalid) {
		t.Errorf("without metadata: %v", err)
	}
	doc = f.metadata()
	sent, err := p.Begin(t.Context(), start)
	if err != nil {
		t.Fatal(err)
	}
	old := f.respond(sent, nil, nil)
	f.idp.Key, f.idp.Certificate = certificate(t)
	doc = f.metadata()
	if _, err := p.Finish(t.Context(), idp.Back{Response: f.respond(sent, nil, nil), Request: sent.Request}); err != nil {
		t.Errorf("with the new key: %v", err)
	}
	got, err := p.Finish(t.Context(), idp.Back{Response: old, Request: sent.Request})
	wantRefused(t, got, err, "")
}
