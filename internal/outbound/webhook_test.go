package outbound_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/outbound"
	"github.com/sessctl/sess/internal/sess"
)

func hook(t *testing.T, url, secret string) *outbound.Webhook {
	t.Helper()
	w, err := outbound.NewWebhook(outbound.WebhookConfig{URL: url, Secret: secret, Guard: outbound.Guard{AllowPrivate: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// What is posted can be checked by who knows the secret, and by nobody else; an old one is not taken for a new one.
func TestWebhookIsSigned(t *testing.T) {
	t.Parallel()
	secret := outbound.NewSecret()
	type got struct {
		h    http.Header
		body []byte
	}
	seen := make(chan got, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen <- got{r.Header, b}
	}))
	defer srv.Close()
	if err := hook(t, srv.URL, secret).Post(t.Context(), outbound.Message{ID: "m-1", Body: []byte(`{"a":1}`)}); err != nil {
		t.Fatal(err)
	}
	g := <-seen
	check := func(secret string, body string, now time.Time) error {
		return outbound.VerifyWebhook(secret, g.h, []byte(body), now, time.Minute)
	}
	if err := check(secret, `{"a":1}`, time.Now()); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"other body":   check(secret, `{"a":2}`, time.Now()),
		"other secret": check(outbound.NewSecret(), `{"a":1}`, time.Now()),
		"replayed":     check(secret, `{"a":1}`, time.Now().Add(time.Hour)),
	} {
		if err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
	if g.h.Get("Webhook-Id") != "m-1" || g.h.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", g.h)
	}
}

// The signature is that of Standard Webhooks: the example of its specification.
func TestWebhookSignatureIsTheStandards(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	h.Set("Webhook-Id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set("Webhook-Timestamp", "1614265330")
	h.Set("Webhook-Signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	err := outbound.VerifyWebhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", h, []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0), time.Minute)
	if err != nil {
		t.Error(err)
	}
}

func TestWebhookFailures(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	for status, permanent := range map[int]bool{301: true, 307: true, 400: true, 410: true, 408: false, 429: false, 500: false, 503: false} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", elsewhere.URL)
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "the inside of a private service")
		}))
		err := hook(t, srv.URL, outbound.NewSecret()).Post(t.Context(), outbound.Message{ID: "m", Body: []byte("{}")})
		f, ok := errors.AsType[*outbound.Failure](err)
		if !ok || f.Status != status || f.Permanent() != permanent || f.RetryAfter != 7*time.Second || strings.Contains(err.Error(), "private service") {
			t.Errorf("%d: %+v", status, err)
		}
		if d := outbound.Backoff(1, err); d < 7*time.Second {
			t.Errorf("pause of %s", d)
		}
		srv.Close()
	}
}

// Who may name a webhook does not get to speak to what only the server can reach, by a name or an address.
func TestGuardKeepsWebhooksOnTheInternet(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") }))
	defer srv.Close()
	for _, url := range []string{srv.URL, strings.Replace(srv.URL, "127.0.0.1", "localhost", 1), strings.Replace(srv.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1)} {
		w, err := outbound.NewWebhook(outbound.WebhookConfig{URL: url, Secret: outbound.NewSecret()})
		if err != nil {
			t.Fatal(err)
		}
		err = w.Post(t.Context(), outbound.Message{ID: "m", Body: []byte("{}")})
		if f, ok := errors.AsType[*outbound.Failure](err); !ok || !errors.Is(err, outbound.ErrPrivate) || !f.Permanent() {
			t.Errorf("%s: %v", url, err)
		}
	}
	for address, want := range map[string]error{
		"93.184.215.14:443": nil, "[2606:2800:21f::1]:443": nil, "10.0.0.1:443": outbound.ErrPrivate, "192.168.1.1:1": outbound.ErrPrivate, "127.0.0.1:1": outbound.ErrPrivate,
		"[::1]:1": outbound.ErrPrivate, "0.0.0.0:1": outbound.ErrPrivate, "100.64.1.1:1": outbound.ErrPrivate, "[fd00::1]:1": outbound.ErrPrivate, "[::7f00:1]:443": outbound.ErrPrivate, "224.0.0.1:1": outbound.ErrPrivate,
		"169.254.169.254:80": outbound.ErrLinkLocal, "[fe80::1%eth0]:1": outbound.ErrLinkLocal, "100.100.100.200:80": outbound.ErrLinkLocal,
		"[64:ff9b::169.254.169.254]:80": outbound.ErrLinkLocal, "[::ffff:169.254.169.254]:80": outbound.ErrLinkLocal, "[fd00:ec2::254]:80": outbound.ErrLinkLocal,
	} {
		if err := (outbound.Guard{}).Check(address); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", address, err, want)
		}
		err := outbound.Guard{AllowPrivate: true}.Check(address)
		if errors.Is(want, outbound.ErrLinkLocal) != (err != nil) {
			t.Errorf("%s, private ones allowed: %v", address, err)
		}
	}
}

func TestWebhookConfigIsChecked(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "example.com", "http://example.com/", "https://u:p@example.com/", "ftp://example.com", "https://example.com/#f", "https://" + strings.Repeat("a", 2000)} {
		if _, err := outbound.NewWebhook(outbound.WebhookConfig{URL: url, Secret: outbound.NewSecret()}); !errors.Is(err, sess.ErrInvalid) {
			t.Errorf("%.50s: %v", url, err)
		}
	}
	for _, secret := range []string{"", "whsec_", "whsec_c2hvcnQ=", "hunter2", strings.TrimPrefix(outbound.NewSecret(), "whsec_")} {
		if _, err := outbound.NewWebhook(outbound.WebhookConfig{URL: "https://example.com", Secret: secret}); !errors.Is(err, sess.ErrInvalid) {
			t.Errorf("%s: %v", secret, err)
		}
	}
	if _, err := outbound.NewWebhook(outbound.WebhookConfig{URL: "https://example.com", Secret: outbound.NewSecret(), CA: "no"}); !errors.Is(err, sess.ErrInvalid) {
		t.Error(err)
	}
}
