package server

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/sessctl/sess/internal/sess"
)

// provider sends the browser on to an identity provider.
func (p *pages) provider(w http.ResponseWriter, r *http.Request) {
	to, err := p.s.identity.SendFlow(r.Context(), p.browser(r), r.PathValue("flow"), r.PathValue("name"))
	if err != nil {
		p.fail(w, err, flowPath(r.PathValue("flow")))
		return
	}
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// callback is where providers of kind oidc and github send the browser back to.
func (p *pages) callback(w http.ResponseWriter, r *http.Request) {
	end, err := p.s.identity.FromProvider(r.Context(), p.browser(r), sess.IDPID(r.PathValue("idp")), r.URL.Query())
	if err != nil {
		p.fail(w, err, "")
		return
	}
	p.done(w, r, end)
}

// acs is where SAML providers have the browser bring their response to. The browser sends no cookie with it, so it is sent
// on to a page of ours, where it does.
func (p *pages) acs(w http.ResponseWriter, r *http.Request) {
	if !p.form(w, r, maxSAMLForm) {
		return
	}
	response, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(r.PostForm.Get("SAMLResponse")), ""))
	if err != nil {
		p.fail(w, sess.New(sess.CodeInvalid, "the identity provider's response can't be read", "begin again: sessctl login"), "")
		return
	}
	flow, handle, err := p.s.identity.FromSAML(r.Context(), p.browser(r), sess.IDPID(r.PathValue("idp")), r.PostForm.Get("RelayState"), response)
	if err != nil {
		p.fail(w, err, "")
		return
	}
	http.Redirect(w, r, flowPath(flow, "finish")+"?handle="+url.QueryEscape(handle), http.StatusSeeOther)
}

func (p *pages) finish(w http.ResponseWriter, r *http.Request) {
	end, err := p.s.identity.FinishSAML(r.Context(), p.browser(r), r.PathValue("flow"), r.URL.Query().Get("handle"))
	if err != nil {
		p.fail(w, err, "")
		return
	}
	p.done(w, r, end)
}

func (p *pages) metadata(w http.ResponseWriter, r *http.Request) {
	doc, err := p.s.identity.IDPMetadata(r.Context(), sess.IDPID(r.PathValue("idp")))
	if err != nil {
		p.fail(w, err, "")
		return
	}
	w.Header().Set("Content-Type", "application/samlmetadata+xml")
	_, _ = w.Write(doc) // the provider may be gone
}
