package outbound

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// Limits of webhooks.
const (
	MaxURL         = 1 << 10          // bytes of the address of a webhook
	MaxPost        = 4 << 20          // bytes of a body
	requestTimeout = 20 * time.Second // for the whole of one request
	maxHeader      = 32 << 10         // bytes of an answer's headers
	maxAnswer      = 64 << 10         // bytes of an answer that are read so that the connection serves again
	maxRetryAfter  = time.Hour
	secretSize     = 32 // random bytes of a secret that we make
	minSecret      = 24 // bytes of one that somebody brings, as Standard Webhooks asks for
	maxSecret      = 64
)

// secretPrefix begins the text of a webhook's secret.
const secretPrefix = "whsec_"

// The headers of a webhook, those of Standard Webhooks.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// Message is one thing to post. The id stays the same when it is tried again, so that a receiver knows it.
type Message struct {
	ID          string
	ContentType string // empty: application/json
	Body        []byte
}

// Webhook is where messages are posted, and the secret that signs them.
type Webhook struct {
	url    string
	key    []byte
	client *http.Client
	now    func() time.Time
}

// WebhookConfig describes a webhook. Now may be nil.
type WebhookConfig struct {
	URL    string
	Secret string // as NewSecret gives it
	CA     string // PEM of certificate authorities beside the system's; may be empty
	Guard  Guard
	Now    func() time.Time
}

// NewWebhook makes a webhook. Its errors say what is wrong with the configuration.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	u, err := CheckURL(c.URL, c.Guard)
	if err != nil {
		return nil, err
	}
	key, err := ParseSecret(c.Secret)
	if err != nil {
		return nil, err
	}
	roots, err := Roots(c.CA)
	if err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	t := &http.Transport{
		DialContext: c.Guard.Dialer().DialContext, TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: requestTimeout,
		MaxResponseHeaderBytes: maxHeader, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, MaxIdleConns: 2,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
	}
	client := &http.Client{Transport: t, Timeout: requestTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &Webhook{url: u.String(), key: key, client: client, now: c.Now}, nil
}

// Close ends idle connections.
func (w *Webhook) Close() { w.client.CloseIdleConnections() }

// CheckURL reads the address of a webhook: https, or http where private addresses are allowed.
func CheckURL(raw string, g Guard) (*url.URL, error) {
	const hint = "give https://HOST/PATH, without a user or password in it"
	if len(raw) > MaxURL {
		return nil, sess.New(sess.CodeInvalid, fmt.Sprintf("the address of the webhook is longer than %d bytes", MaxURL), hint)
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return nil, sess.New(sess.CodeInvalid, "that is no address of a webhook", hint) // the cause would quote it
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !g.AllowPrivate) {
		return nil, sess.New(sess.CodeInvalid, "a webhook speaks https", hint)
	}
	return u, nil
}

// NewSecret makes the secret of a webhook: whsec_ and 32 random bytes in base64, as libraries for Standard Webhooks take it.
func NewSecret() string {
	b := make([]byte, secretSize)
	_, _ = rand.Read(b) // never fails: it crashes the program instead
	return secretPrefix + base64.StdEncoding.EncodeToString(b)
}

// ParseSecret reads the key in a secret.
func ParseSecret(s string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, secretPrefix))
	if err != nil || !strings.HasPrefix(s, secretPrefix) || len(key) < minSecret || len(key) > maxSecret {
		return nil, sess.New(sess.CodeInvalid, "that is no secret of a webhook",
			fmt.Sprintf("leave it out to have one made, or give %s and %d to %d bytes in base64", secretPrefix, minSecret, maxSecret))
	}
	return key, nil
}

// Roots gives the system's certificate authorities and those in ca, which is PEM; nil, the system's, for none.
func Roots(ca string) (*x509.CertPool, error) {
	if ca == "" {
		return nil, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM([]byte(ca)) {
		return nil, sess.New(sess.CodeInvalid, "there is no certificate in the file of the certificate authority", "give a PEM file")
	}
	return roots, nil
}

// Failure is why something could not be delivered, in words that an organisation's admin may see: nothing of the answer but
// its status.
type Failure struct {
	Status     int           // of the answer; 0: there was none
	RetryAfter time.Duration // the receiver asks to wait as long; 0: it says nothing
	Reason     string
	Err        error // for the server's log
}

// Error implements error.
func (f *Failure) Error() string { return f.Reason }

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Permanent reports whether the same message will fail again as long as nobody changes something at one end.
func (f *Failure) Permanent() bool {
	return f.Status >= 300 && f.Status < 500 && f.Status != http.StatusRequestTimeout && f.Status != http.StatusTooManyRequests && f.Status != http.StatusTooEarly ||
		errors.Is(f.Err, ErrPrivate) || errors.Is(f.Err, ErrLinkLocal)
}

// Post sends m once, signed as of now. Every error that concerns the receiver is a *Failure; it is accepted by any 2xx.
func (w *Webhook) Post(ctx context.Context, m Message) error {
	if len(m.Body) > MaxPost {
		return fmt.Errorf("post webhook: a body of %d bytes, more than %d", len(m.Body), MaxPost)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(m.Body))
	if err != nil {
		return fmt.Errorf("post webhook: %w", err)
	}
	at := w.now()
	req.Header.Set("Content-Type", m.ContentType)
	if m.ContentType == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", "sess-server")
	req.Header.Set(HeaderID, m.ID)
	req.Header.Set(HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
	req.Header.Set(HeaderSignature, sign(w.key, m.ID, at.Unix(), m.Body))
	resp, err := w.client.Do(req)
	if err != nil {
		return unreachable(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 == 2 {
		return nil
	}
	f := &Failure{Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header, at)}
	f.Reason = fmt.Sprintf("it answers with status %d", f.Status)
	if f.Status/100 == 3 {
		f.Reason += ": redirects are not followed"
	}
	return f
}

// unreachable says why nobody answered.
func unreachable(err error) *Failure {
	f := &Failure{Err: err, Reason: "it can't be reached"}
	var untrusted *tls.CertificateVerificationError
	var alert tls.AlertError
	var plain tls.RecordHeaderError
	switch {
	case errors.Is(err, ErrPrivate):
		f.Reason = ErrPrivate.Error()
	case errors.Is(err, ErrLinkLocal):
		f.Reason = ErrLinkLocal.Error()
	case errors.As(err, &untrusted):
		f.Reason = whyUntrusted(untrusted.Err)
	case errors.As(err, &plain):
		f.Reason = "it does not speak TLS"
	case errors.As(err, &alert):
		f.Reason = "it refused the TLS connection: " + alert.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Reason = "nothing listens there"
	case errors.Is(err, os.ErrNotExist):
		f.Reason = "there is no such socket"
	case errors.Is(err, context.DeadlineExceeded):
		f.Reason = "it did not answer in time"
	}
	return f
}

// whyUntrusted says what is wrong with a certificate, in words that lead to what is to be done.
func whyUntrusted(err error) string {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &name):
		return "its certificate is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate has expired, or is not valid yet"
	case errors.As(err, &unknown):
		return "its certificate is of an authority that is not trusted (--ca-file)"
	}
	return "its certificate is not valid"
}

func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil && n > 0 {
		return min(time.Duration(min(n, int(maxRetryAfter/time.Second)))*time.Second, maxRetryAfter)
	}
	if t, err := http.ParseTime(v); err == nil && t.After(now) {
		return min(t.Sub(now), maxRetryAfter)
	}
	return 0
}

func sign(key []byte, id string, at int64, body []byte) string {
	m := hmac.New(sha256.New, key)
	fmt.Fprintf(m, "%s.%d.", id, at)
	m.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// VerifyWebhook checks what a receiver got: that it was signed with the secret, and no longer than tolerance ago.
func VerifyWebhook(secret string, h http.Header, body []byte, now time.Time, tolerance time.Duration) error {
	key, err := ParseSecret(secret)
	if err != nil {
		return err
	}
	at, err := strconv.ParseInt(h.Get(HeaderTimestamp), 10, 64)
	if err != nil {
		return errors.New("webhook has no time")
	}
	if d := now.Sub(time.Unix(at, 0)); d > tolerance || d < -tolerance {
		return fmt.Errorf("webhook is %s old", d)
	}
	want := sign(key, h.Get(HeaderID), at, body)
	for _, got := range strings.Fields(h.Get(HeaderSignature)) {
		if hmac.Equal([]byte(got), []byte(want)) {
			return nil
		}
	}
	return errors.New("webhook is not signed with this secret")
}
