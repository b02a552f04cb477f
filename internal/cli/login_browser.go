package cli

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
)

// How long a person has in the browser, and how large a request to our port may be.
const (
	browserPatience = 10 * time.Minute
	portTimeout     = 10 * time.Second
	maxPortHeader   = 16 << 10
)

// browserLogin is how to log in by a browser. sessctl knows no identity provider: it knows the server's own pages.
type browserLogin struct {
	browser, device bool
	org, idp        string
}

func (b *browserLogin) register(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&b.browser, "browser", false, "log in in the browser of this machine")
	f.BoolVar(&b.device, "device", false, "log in in any browser, by a code; as without a display")
	f.StringVar(&b.idp, "idp", "", "log in at the identity provider `NAME` of the organisation")
	c.MarkFlagsMutuallyExclusive("browser", "device")
}

// wanted reports whether to log in by a browser: asked for, or what people of this server do.
func (b *browserLogin) wanted(ctx context.Context, a *app, server link.Server, password bool) (bool, error) {
	switch {
	case b.browser || b.device || b.idp != "":
		return true, nil
	case password || !terminal(a.in):
		return false, nil
	}
	defer a.busy("asking the server")()
	info, err := api.Call(ctx, a.openAs(server, "").API, api.GetServer, api.None{})
	return info.BrowserLogin, err
}

// login logs in by a browser.
func (b *browserLogin) login(ctx context.Context, a *app, server link.Server, r rest) error {
	ctx, cancel := context.WithTimeout(ctx, browserPatience)
	defer cancel()
	way := b.byPort
	if b.device || !b.browser && !a.hasDisplay() {
		way = b.byCode
	}
	out, err := way(ctx, a, server)
	if errors.Is(err, context.DeadlineExceeded) {
		return sess.New(sess.CodeExpired, "nobody logged in within "+roughly(browserPatience), "try again: sessctl login")
	}
	if err != nil {
		return err
	}
	if err := a.complete(ctx, server, out, r); err != nil {
		return err
	}
	return b.goOn(ctx, a, server, r)
}

// goOn goes to the organisation that was named, where the browser ended in another one: the pages know only those that have
// identity providers, and whoever gives a password there may be in several.
func (b *browserLogin) goOn(ctx context.Context, a *app, server link.Server, r rest) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	s := c.Servers[key(server)]
	if b.org == "" || s.Org == b.org || s.OrgID == b.org {
		return nil
	}
	token, err := a.token(credentialName(key(server), s.OrgID), s.Logins[s.OrgID])
	if err != nil {
		return err
	}
	return a.useFrom(ctx, server, a.openAs(server, token), b.org, r.codeFile)
}

// byPort has the browser come back to a port of this machine (RFC 8252), with a code that serves only who knows the verifier
// (PKCE).
func (b *browserLogin) byPort(ctx context.Context, a *app, server link.Server) (api.LoginOut, error) {
	l, err := listenLoopback(ctx)
	if err != nil {
		return api.LoginOut{}, sess.Wrap(err, sess.CodeUnavailable, "can't listen on a port of this machine", "log in by a code: sessctl login --device")
	}
	redirect := "http://" + l.Addr().String() + "/"
	state, verifier := randomText(), randomText()
	challenge := sha256.Sum256([]byte(verifier))
	page := server.URL.JoinPath("authorize")
	q := url.Values{
		"response_type": {"code"}, "client_id": {"sessctl"}, "redirect_uri": {redirect}, "state": {state}, "client": {clientName()},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	for name, value := range map[string]string{"org": b.org, "idp": b.idp} {
		if value != "" {
			q.Set(name, value)
		}
	}
	page.RawQuery = q.Encode()

	answers := make(chan url.Values, 1)
	srv := &http.Server{
		Handler: landing(l.Addr().String(), state, answers), ReadTimeout: portTimeout, WriteTimeout: portTimeout, MaxHeaderBytes: maxPortHeader,
	}
	go func() { _ = srv.Serve(l) }() // it ends by Close or Shutdown
	defer srv.Close()
	a.note("opening your browser to log in; if it does not open, visit:\n  %s", page)
	if server.Pin != nil {
		a.note("the certificate of %s is its own: your browser will warn you of it", server.URL.Host)
	}
	a.browse(ctx, page.String())
	var answer url.Values
	select {
	case answer = <-answers:
	case <-ctx.Done():
		return api.LoginOut{}, context.Cause(ctx)
	}
	done, cancel := context.WithTimeout(ctx, portTimeout)
	defer cancel()
	_ = srv.Shutdown(done) // the page has to get there
	if answer.Get("code") == "" {
		return api.LoginOut{}, sess.New(sess.CodeDenied, "the login was refused in the browser", "")
	}
	var in api.RedeemIn
	in.Body.Code, in.Body.Verifier, in.Body.RedirectURI = answer.Get("code"), verifier, redirect
	out, err := api.Call(ctx, a.openAs(server, "").API, api.RedeemLogin, in)
	if err != nil {
		return api.LoginOut{}, err
	}
	if out.Login == nil {
		return api.LoginOut{}, sess.New(sess.CodeUnavailable, "the server's answer holds no login", "compare the versions: sessctl version --with-server")
	}
	return *out.Login, nil
}

func randomText() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func listenLoopback(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		l, err = lc.Listen(ctx, "tcp", "[::1]:0")
	}
	return l, err
}

// landing is the page that the browser comes back to. An answer without our state is somebody else's and changes nothing.
func landing(host, state string, answers chan<- url.Values) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if r.Method != http.MethodGet || r.URL.Path != "/" || r.Host != host || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1 {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		title, text := "Logged in", "sessctl goes on in your terminal."
		if q.Get("code") == "" {
			title, text = "Not logged in", "The login was refused. Your terminal says more."
		}
		_, _ = w.Write([]byte(strings.NewReplacer("TITLE", title, "TEXT", text).Replace(landingPage))) // the browser may be gone
		select {
		case answers <- q:
		default:
		}
	})
}

const landingPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>TITLE · sess</title>
<style>:root{color-scheme:light dark}body{margin:0;min-height:100vh;display:grid;place-items:center;font:16px/1.5 system-ui,sans-serif}
main{max-width:25rem;padding:2rem;text-align:center}h1{font-size:1.4rem;margin:0 0 .5rem}p{margin:0}</style></head>
<body><main><h1>TITLE</h1><p>TEXT<br>You may close this window.</p></main></body></html>
`

// hasDisplay reports whether a browser may open where the person is.
func (a *app) hasDisplay() bool {
	if a.getenv("BROWSER") != "" {
		return true
	}
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		return a.getenv("SSH_CONNECTION") == ""
	}
	return a.getenv("DISPLAY") != "" || a.getenv("WAYLAND_DISPLAY") != ""
}

// browse opens a page; that it can't is no failure, for the address is on the terminal.
func (a *app) browse(ctx context.Context, page string) {
	var argv []string
	switch browser, _, _ := strings.Cut(a.getenv("BROWSER"), string(':')); {
	case browser != "" && runtime.GOOS != "windows":
		argv = []string{browser, page}
	case runtime.GOOS == "darwin":
		argv = []string{"open", page}
	case runtime.GOOS == "windows":
		argv = []string{"rundll32", "url.dll,FileProtocolHandler", page}
	default:
		argv = []string{"xdg-open", page}
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), argv[0], argv[1:]...) //nolint:gosec // the person's own browser
	cmd.Env = a.environ
	if cmd.Start() == nil {
		go func() { _ = cmd.Wait() }() // it may outlive us
	}
}

// byCode shows a code to type into any browser, and asks for the login until it is there (RFC 8628).
func (b *browserLogin) byCode(ctx context.Context, a *app, server link.Server) (api.LoginOut, error) {
	c := a.openAs(server, "").API
	var in api.DeviceIn
	in.Body.Org, in.Body.IDP, in.Body.Client = b.org, b.idp, clientName()
	d, err := api.Call(ctx, c, api.StartDevice, in)
	if err != nil {
		return api.LoginOut{}, err
	}
	a.note("to log in, open this page in any browser:\n  %s\nand type the code:\n  %s\nor open both at once:\n  %s\nwaiting for %s…",
		cell(d.VerificationURL), cell(d.UserCode), cell(d.CompleteURL), roughly(d.ExpiresAt.Sub(a.now())+time.Second))
	every := time.Duration(max(1, d.IntervalSeconds)) * time.Second
	var ask api.RedeemIn
	ask.Body.DeviceCode = d.DeviceCode
	for {
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return api.LoginOut{}, context.Cause(ctx)
		}
		out, err := api.Call(ctx, c, api.RedeemLogin, ask)
		switch {
		case errors.Is(err, sess.ErrUnavailable), errors.Is(err, sess.ErrLimited):
			every += time.Second // the network is away for a moment, or the server is busy
		case err != nil:
			return api.LoginOut{}, err
		case out.Login != nil:
			return *out.Login, nil
		case out.IntervalSeconds > 0:
			every = time.Duration(out.IntervalSeconds) * time.Second
		}
	}
}
