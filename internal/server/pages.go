package server

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/sess"
)

//go:embed pages
var pageFiles embed.FS

const (
	// browserCookie is bound to this host, to https and to the whole of it by its prefix: nobody else can set it.
	browserCookie = "__Host-sess-browser"
	cookieLife    = 20 * time.Minute // a login takes ten at most
	maxForm       = 16 << 10         // bytes of a form
	maxSAMLForm   = 512 << 10        // bytes of the form that brings a SAML response

	// pagePolicy lets a page load our style and nothing else, run nothing, and send its forms to us alone.
	pagePolicy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

// page is what the templates show; each uses what it needs.
type page struct {
	Title   string
	Host    string
	Problem *sess.Error
	Refresh string // where to go from here, at once
	Back    string

	Flow    *identity.FlowView
	Client  string
	Address string
	Since   string
	Email   string
	Code    string
	Name    string
	Text    string
	Note    string // what to know before going on: the page waits for it to be read
}

// pages are the few pages of HTML that people see when they log in by a browser.
type pages struct {
	s         *Server
	templates *template.Template
	style     []byte
}

func (s *Server) openPages(context.Context) error {
	t, err := template.ParseFS(pageFiles, "pages/*.html")
	if err != nil {
		return fmt.Errorf("read pages: %w", err)
	}
	style, err := pageFiles.ReadFile("pages/style.css")
	if err != nil {
		return fmt.Errorf("read pages: %w", err)
	}
	s.pages = &pages{s: s, templates: t, style: style}
	return nil
}

// routesPages binds the pages.
func (s *Server) routesPages(mux *http.ServeMux, p *pages) {
	guard := http.NewCrossOriginProtection()
	_ = guard.AddTrustedOrigin(s.public.String()) // it is one: a scheme and a host
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.fail(w, sess.New(sess.CodeDenied, "this form was sent by another site", "begin again: sessctl login"), "")
	}))
	handle := func(pattern string, limit *rateLimiter, h http.HandlerFunc) {
		mux.Handle(pattern, guard.Handler(p.limited(limit, h)))
	}
	handle("GET /authorize", s.passwordRate, p.authorize)
	handle("GET /login/{flow}", s.publicRate, p.login)
	handle("POST /login/{flow}/org", s.passwordRate, p.org)
	handle("POST /login/{flow}/password", s.passwordRate, p.password)
	handle("POST /login/{flow}/code", s.passwordRate, p.code)
	handle("POST /login/{flow}/restart", s.publicRate, p.restart)
	handle("POST /login/{flow}/confirm", s.publicRate, p.confirm)
	handle("POST /login/{flow}/deny", s.publicRate, p.deny)
	handle("GET /login/{flow}/provider/{name}", s.passwordRate, p.provider)
	handle("GET /login/{flow}/finish", s.publicRate, p.finish)
	handle("GET /device", s.publicRate, p.device)
	handle("POST /device", s.passwordRate, p.claim)
	handle("GET /idp/{idp}/callback", s.publicRate, p.callback)
	handle("GET /idp/{idp}/metadata", s.publicRate, p.metadata)
	handle("GET /ui/style.css", s.publicRate, p.css)
	// The provider's own page sends this one: what protects it is the signature in it, and that somebody waits for it.
	mux.Handle("POST /idp/{idp}/acs", p.limited(s.passwordRate, p.acs))
}

// limited is the guard of all pages: nobody is logged in.
func (p *pages) limited(limit *rateLimiter, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req := requestOf(r.Context())
		if wait, ok := limit.allow(req.addr, p.s.now()); !ok {
			p.s.refused(r.Context(), req.addr, sess.CodeLimited)
			w.Header().Set("Retry-After", fmt.Sprint(int(wait/time.Second)+1))
			p.fail(w, sess.New(sess.CodeLimited, "too many requests from your address", fmt.Sprintf("try again in %d s", int(wait/time.Second)+1)), "")
			return
		}
		next(w, r)
	})
}

// show sends a page.
func (p *pages) show(w http.ResponseWriter, status int, name string, data page) {
	data.Host = p.s.public.Hostname()
	var b bytes.Buffer
	if err := p.templates.ExecuteTemplate(&b, name+".html", data); err != nil {
		p.s.log.Error("write page", "page", name, "err", err)
		http.Error(w, "something went wrong on the server", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the browser may be gone
}

// fail shows what went wrong. back is where to try again; empty: nowhere.
func (p *pages) fail(w http.ResponseWriter, err error, back string) {
	e := p.public(err)
	p.show(w, api.Status(e.Code), "error", page{Title: "This did not work", Problem: e, Back: back})
}

// public gives what people may see of err, and logs the rest.
func (p *pages) public(err error) *sess.Error {
	e := sess.Public(err)
	if e.Code == sess.CodeInternal {
		p.s.log.Error("request failed", "error", err)
	}
	return e
}

// browser is who asks, by the cookie it has.
func (p *pages) browser(r *http.Request) identity.Browser {
	b := identity.Browser{Addr: requestOf(r.Context()).addr}
	if c, err := r.Cookie(browserCookie); err == nil && len(c.Value) == len(identity.NewBrowserCookie()) {
		b.Cookie = c.Value
	}
	return b
}

// known is browser, with a new cookie for one that has none.
func (p *pages) known(w http.ResponseWriter, r *http.Request) identity.Browser {
	b := p.browser(r)
	if b.Cookie == "" {
		b.Cookie = identity.NewBrowserCookie()
	}
	http.SetCookie(w, &http.Cookie{
		Name: browserCookie, Value: b.Cookie, Path: "/", MaxAge: int(cookieLife.Seconds()),
		HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode,
	})
	return b
}

// form reads a form of at most so many bytes.
func (p *pages) form(w http.ResponseWriter, r *http.Request, most int64) bool {
	r.Body = http.MaxBytesReader(w, r.Body, most)
	if err := r.ParseForm(); err != nil {
		p.fail(w, sess.New(sess.CodeInvalid, "the form can't be read", ""), "")
		return false
	}
	return true
}

func (p *pages) css(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=600")
	_, _ = w.Write(p.style) // the browser may be gone
}

// flowPath is a flow's page.
func flowPath(id string, more ...string) string {
	return "/login/" + strings.Join(append([]string{id}, more...), "/")
}
