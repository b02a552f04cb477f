package server

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/sess"
)

// authorize begins a login for a client that listens on a port of its own machine.
func (p *pages) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	b := p.known(w, r)
	id, err := p.s.identity.Authorize(r.Context(), b, identity.AuthorizeIn{
		ResponseType: q.Get("response_type"), ClientID: q.Get("client_id"), RedirectURI: q.Get("redirect_uri"), State: q.Get("state"),
		Challenge: q.Get("code_challenge"), ChallengeMethod: q.Get("code_challenge_method"),
		Org: q.Get("org"), IDP: q.Get("idp"), Client: q.Get("client"),
	})
	if err != nil {
		p.fail(w, err, "")
		return
	}
	http.Redirect(w, r, flowPath(id), http.StatusSeeOther)
}

// login shows where a login is.
func (p *pages) login(w http.ResponseWriter, r *http.Request) {
	v, err := p.s.identity.ViewFlow(r.Context(), p.browser(r), r.PathValue("flow"))
	if err != nil {
		p.fail(w, err, "")
		return
	}
	if v.Confirmed && v.Straight != "" && !v.Code {
		http.Redirect(w, r, flowPath(v.ID, "provider", url.PathEscape(v.Straight)), http.StatusSeeOther)
		return
	}
	p.showFlow(w, http.StatusOK, v, nil, "")
}

func (p *pages) showFlow(w http.ResponseWriter, status int, v identity.FlowView, problem *sess.Error, email string) {
	if v.Client == "" {
		v.Client = "a program"
	}
	name, title := "login", "Log in"
	switch {
	case !v.Confirmed:
		name, title = "confirm", "Is this you?"
	case v.Code:
		name, title = "code", "One more step"
	}
	p.show(w, status, name, page{
		Title: title, Problem: problem, Flow: &v, Client: v.Client, Address: v.Address, Since: v.CreatedAt.UTC().Format("15:04:05 UTC"), Email: email,
	})
}

// again shows the page of a flow once more with what went wrong; a flow that is over is said to be.
func (p *pages) again(w http.ResponseWriter, r *http.Request, err error, email string) {
	v, verr := p.s.identity.ViewFlow(r.Context(), p.browser(r), r.PathValue("flow"))
	if verr != nil {
		p.fail(w, errors.Join(verr), "")
		return
	}
	e := p.public(err)
	p.showFlow(w, statusOf(e), v, e, email)
}

// statusOf is the status of a form that is shown again.
func statusOf(e *sess.Error) int {
	if e.Code == sess.CodeLimited {
		return http.StatusTooManyRequests
	}
	return http.StatusUnprocessableEntity
}

func (p *pages) org(w http.ResponseWriter, r *http.Request) {
	if !p.form(w, r, maxForm) {
		return
	}
	if err := p.s.identity.ChooseFlowOrg(r.Context(), p.browser(r), r.PathValue("flow"), r.PostForm.Get("org")); err != nil {
		p.again(w, r, err, "")
		return
	}
	http.Redirect(w, r, flowPath(r.PathValue("flow")), http.StatusSeeOther)
}

func (p *pages) password(w http.ResponseWriter, r *http.Request) {
	if !p.form(w, r, maxForm) {
		return
	}
	email := r.PostForm.Get("email")
	end, err := p.s.identity.FlowPassword(r.Context(), p.browser(r), r.PathValue("flow"), email, r.PostForm.Get("password"))
	if err != nil {
		p.again(w, r, err, email)
		return
	}
	p.done(w, r, end)
}

// code takes a code of the second factor.
func (p *pages) code(w http.ResponseWriter, r *http.Request) {
	if !p.form(w, r, maxForm) {
		return
	}
	end, err := p.s.identity.FlowCode(r.Context(), p.browser(r), r.PathValue("flow"), r.PostForm.Get("code"))
	if err != nil {
		p.again(w, r, err, "")
		return
	}
	p.done(w, r, end)
}

// restart begins anew, for somebody else.
func (p *pages) restart(w http.ResponseWriter, r *http.Request) {
	if err := p.s.identity.RestartFlow(r.Context(), p.browser(r), r.PathValue("flow")); err != nil {
		p.fail(w, err, "")
		return
	}
	http.Redirect(w, r, flowPath(r.PathValue("flow")), http.StatusSeeOther)
}

func (p *pages) confirm(w http.ResponseWriter, r *http.Request) {
	if err := p.s.identity.ConfirmFlow(r.Context(), p.browser(r), r.PathValue("flow")); err != nil {
		p.fail(w, err, "")
		return
	}
	http.Redirect(w, r, flowPath(r.PathValue("flow")), http.StatusSeeOther)
}

func (p *pages) deny(w http.ResponseWriter, r *http.Request) {
	to, err := p.s.identity.DenyFlow(r.Context(), p.browser(r), r.PathValue("flow"))
	if err != nil {
		p.fail(w, err, "")
		return
	}
	p.show(w, http.StatusOK, "done", page{Title: "Cancelled", Refresh: to, Client: "the program that asked", Text: "Nobody was logged in. You may close this window."})
}

// done goes on to the second factor where one is to follow. Else it shows that somebody is logged in, and sends the browser back to the client's port where there is one: by the page and
// not by a redirect, which a form's policy would have to allow.
func (p *pages) done(w http.ResponseWriter, r *http.Request, end identity.FlowEnd) {
	if end.Code != "" {
		http.Redirect(w, r, flowPath(end.Code), http.StatusSeeOther)
		return
	}
	client := end.Client
	if client == "" {
		client = "the program that asked"
	}
	p.show(w, http.StatusOK, "done", page{
		Title: "Logged in", Name: end.Name, Note: end.Note, Refresh: end.URL, Client: client, Text: "Go back to your terminal. You may close this window.",
	})
}

// device asks for the code that a client without a browser shows.
func (p *pages) device(w http.ResponseWriter, r *http.Request) {
	code := r.URL.Query().Get("code")
	p.show(w, http.StatusOK, "device", page{Title: "Log in by code", Code: code[:min(len(code), 20)]})
}

func (p *pages) claim(w http.ResponseWriter, r *http.Request) {
	if !p.form(w, r, maxForm) {
		return
	}
	code := r.PostForm.Get("code")
	id, err := p.s.identity.ClaimDevice(r.Context(), p.known(w, r), code)
	if err != nil {
		e := p.public(err)
		p.show(w, statusOf(e), "device", page{Title: "Log in by code", Problem: e, Code: code[:min(len(code), 20)]})
		return
	}
	http.Redirect(w, r, flowPath(id), http.StatusSeeOther)
}
