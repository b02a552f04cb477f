package server_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/store/storetest"
)

// visitor is a browser without scripts and without a cache.
type visitor struct {
	t    *testing.T
	base string
	*http.Client
}

func visit(t *testing.T, base string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	return &visitor{t, base, &http.Client{Jar: jar, Transport: transport}}
}

func (v *visitor) do(method, path string, form url.Values, header ...string) (*http.Response, string) {
	v.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(v.t.Context(), method, v.base+path, body)
	if err != nil {
		v.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := v.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp, string(b)
}

func authorizePath() string {
	sum := sha256.Sum256([]byte("verifier"))
	return "/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {"sessctl"}, "redirect_uri": {"http://127.0.0.1:4711/"}, "state": {"s"}, "client": {`<script>alert("x")</script>`},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode()
}

// Pages run nothing, load nothing from elsewhere, can't be framed, and are told to nobody; what a client calls itself is text.
func TestPagesAreStrict(t *testing.T) {
	s, stop := start(t, config(t, storetest.Dir(t)))
	defer stop()
	base, _, _ := strings.Cut(s.URL(), "#")
	v := visit(t, base)
	for _, path := range []string{authorizePath(), "/device?code=%3Cscript%3E", "/login/nothing", "/authorize", "/idp/idp_x/callback?state=x&error=%3Cscript%3E"} {
		resp, body := v.do(http.MethodGet, path, nil)
		h := resp.Header
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy %q, without %s", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "script-src") || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" ||
			!strings.HasPrefix(h.Get("Content-Type"), "text/html") || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, h)
		}
		low := strings.ToLower(body)
		if strings.Contains(low, "<script") || strings.Contains(low, "style=") || strings.Contains(low, " onload") || strings.Contains(low, "http://") || strings.Contains(low, "https://") {
			t.Errorf("%s holds what a page must not:\n%s", path, body)
		}
	}
	resp, body := v.do(http.MethodGet, "/ui/style.css", nil)
	if resp.StatusCode != http.StatusOK || strings.Contains(body, "url(") || strings.Contains(body, "@import") {
		t.Errorf("style: %s %s", resp.Status, body)
	}
}

// The cookie is this host's alone, and no other site has a browser of ours do anything.
func TestPagesAreOneSites(t *testing.T) {
	s, stop := start(t, config(t, storetest.Dir(t)))
	defer stop()
	base, _, _ := strings.Cut(s.URL(), "#")
	v := visit(t, base)
	v.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, _ := v.do(http.MethodGet, authorizePath(), nil)
	cookie := resp.Header.Get("Set-Cookie")
	for _, want := range []string{"__Host-", "; Path=/;", "HttpOnly", "Secure", "SameSite=Lax"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("cookie %q, without %s", cookie, want)
		}
	}
	flow := resp.Header.Get("Location")
	if !strings.HasPrefix(flow, "/login/") || resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s, to %q", resp.Status, flow)
	}
	form := url.Values{"email": {"a@example.com"}, "password": {"x"}}
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
		for _, path := range []string{flow + "/password", flow + "/deny", flow + "/confirm", flow + "/org", "/device"} {
			if resp, _ := v.do(http.MethodPost, path, form, header...); resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s with %v: %s", path, header, resp.Status)
			}
		}
	}
	if resp, body := v.do(http.MethodPost, flow+"/password", form, "Sec-Fetch-Site", "same-origin"); resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "wrong") {
		t.Errorf("our own form: %s %s", resp.Status, body)
	}
	if resp, _ := visit(t, base).do(http.MethodGet, flow, nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("another browser: %s", resp.Status)
	}
	big := url.Values{"email": {strings.Repeat("x", 32<<10)}}
	if resp, _ := v.do(http.MethodPost, flow+"/password", big); resp.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a form of 32 KiB: %s", resp.Status)
	}
	if resp, _ := v.do(http.MethodPost, "/idp/idp_x/acs", url.Values{"SAMLResponse": {"%%%"}}); resp.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a SAML response that is none: %s", resp.Status)
	}
}
