package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/sess"
)

// postOffice is a real SMTP server that answers recipients as it is told, one answer after the other, and then takes mail.
type postOffice struct {
	mu      sync.Mutex // protects the following
	answers []int
	tries   int
	texts   []string
}

// NewSession implements smtp.Backend.
func (p *postOffice) NewSession(*smtp.Conn) (smtp.Session, error) { return postSession{p}, nil }

type postSession struct{ *postOffice }

// Mail implements smtp.Session.
func (s postSession) Mail(string, *smtp.MailOptions) error { return nil }

// Rcpt implements smtp.Session.
func (s postSession) Rcpt(string, *smtp.RcptOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if len(s.answers) == 0 {
		return nil
	}
	code := s.answers[0]
	s.answers = s.answers[1:]
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: "not now or never"}
}

// Data implements smtp.Session.
func (s postSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts = append(s.texts, string(b))
	return err
}

// Reset implements smtp.Session.
func (s postSession) Reset() {}

// Logout implements smtp.Session.
func (s postSession) Logout() error { return nil }

// office starts a post office, behind TLS with a certificate that nobody knows if secure.
func office(t *testing.T, secure bool, answers ...int) (*postOffice, string) {
	t.Helper()
	p := &postOffice{answers: answers}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if secure {
		d, err := openDataDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		c, err := (&Config{TLS: TLSSelfSigned}).tlsConfig(d, []string{"127.0.0.1"}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		l = tls.NewListener(l, c)
	}
	s := smtp.NewServer(p)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }() // until it is closed
	t.Cleanup(func() { _ = s.Close(); <-done })
	return p, addr
}

// post sends one mail through a running mailer, and gives all that was said of it.
func post(t *testing.T, m *mailer) []identity.Mailed {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { m.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	said := make(chan identity.Mailed, 100)
	m.Queue(ctx, identity.Mail{To: "bob@example.com", Subject: "Hällo", Text: "a text\n"}, func(_ context.Context, d identity.Mailed) { said <- d })
	var all []identity.Mailed
	for {
		select {
		case d := <-said:
			all = append(all, d)
			if d.Final {
				return all
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no end of it: %+v", all)
		}
	}
}

func testMailer(t *testing.T, url string) *mailer {
	t.Helper()
	m, err := newMailer(Config{SMTPURL: url, MailFrom: "sess@box.example", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	m.retries = []time.Duration{time.Millisecond, time.Millisecond}
	return m
}

func TestMailRetriesWhatMayHelpAndNoMore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers []int
		tries   int
		sent    bool
		problem string
	}{
		"at once":   {nil, 1, true, ""},
		"in a bit":  {[]int{451, 421}, 3, true, ""},
		"not today": {[]int{451, 451, 451, 451}, 3, false, "451"},
		"never":     {[]int{550}, 1, false, "550"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, addr := office(t, false, c.answers...)
			all := post(t, testMailer(t, "smtp://"+addr))
			last := all[len(all)-1]
			if last.Sent != c.sent || !strings.Contains(last.Problem, c.problem) || len(all) != c.tries {
				t.Errorf("said %+v", all)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.tries != c.tries || c.sent != (len(p.texts) == 1) {
				t.Errorf("%d tries, %d mails", p.tries, len(p.texts))
			}
			if c.sent && (!strings.Contains(p.texts[0], "Auto-Submitted: auto-generated") || !strings.Contains(p.texts[0], "To: <bob@example.com>")) {
				t.Errorf("mail:\n%s", p.texts[0])
			}
		})
	}
}

// A server that can't be reached, or shows a certificate that nobody vouches for, gets nothing; what an org admin is told
// says nothing of where it is.
func TestMailToNobody(t *testing.T) {
	t.Parallel()
	p, secure := office(t, true)
	for what, url := range map[string]string{"nobody there": "smtp://127.0.0.1:1", "unknown certificate": "smtps://" + secure} {
		all := post(t, testMailer(t, url))
		last := all[len(all)-1]
		if last.Sent || last.Problem == "" || strings.Contains(last.Problem, "127.0.0.1") {
			t.Errorf("%s: %+v", what, all)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tries != 0 {
		t.Errorf("the server without a known certificate was given %d mails", p.tries)
	}
}

func TestMailConfig(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("p4ssword\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]Config{
		"no URL":                      {SMTPURL: "mail.example.com:587", MailFrom: "a@example.com"},
		"another scheme":              {SMTPURL: "https://mail.example.com", MailFrom: "a@example.com"},
		"a password in the URL":       {SMTPURL: "smtp://u:p4ssword@mail.example.com", MailFrom: "a@example.com"},
		"no sender":                   {SMTPURL: "smtp://mail.example.com"},
		"a user without a password":   {SMTPURL: "smtp://u@mail.example.com", MailFrom: "a@example.com"},
		"a password without a user":   {SMTPURL: "smtp://mail.example.com", SMTPPasswordFile: secret, MailFrom: "a@example.com"},
		"no such file":                {SMTPURL: "smtp://u@mail.example.com", SMTPPasswordFile: secret + "x", MailFrom: "a@example.com"},
		"a password in the clear":     {SMTPURL: "smtp://u@mail.example.com?starttls=off", SMTPPasswordFile: secret, MailFrom: "a@example.com"},
		"a sender that is no address": {SMTPURL: "smtp://mail.example.com", MailFrom: "nobody"},
	} {
		_, err := newMailer(c)
		e, ok := errors.AsType[*sess.Error](err)
		if !ok || e.Code != sess.CodeInvalid || e.Hint == "" || strings.Contains(err.Error(), "p4ssword") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if m, err := newMailer(Config{SMTPURL: "smtp://u@mail.example.com", SMTPPasswordFile: secret, MailFrom: "sess <a@example.com>"}); err != nil || m == nil {
		t.Errorf("as it should be: %v", err)
	}
	if m, err := newMailer(Config{}); m != nil || err != nil {
		t.Errorf("without a mail server: %v, %v", m, err)
	}
}
