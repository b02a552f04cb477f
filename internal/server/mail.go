package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/textproto"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/sess"
)

// Limits of mail.
const (
	maxMails       = 1000 // that wait at once
	mailWorkers    = 4
	mailTimeout    = 30 * time.Second // for one try
	maxSMTPSecret  = 4 << 10          // bytes of the file with the password
	portSMTP       = 587
	portSMTPS      = 465
	maxSMTPProblem = 200 // bytes of a mail server's own words
)

// mailRetries are the pauses between the tries of one mail.
func mailRetries() []time.Duration {
	return []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute}
}

// mailer sends mail by one SMTP server, apart from what asks for it.
type mailer struct {
	client  *mail.Client
	from    string
	log     *slog.Logger
	retries []time.Duration
	ready   chan mailJob
}

type mailJob struct {
	mail identity.Mail
	note func(context.Context, identity.Mailed)
	try  int // made before
}

// newMailer reads how mail is sent. It returns nil where no mail server is configured.
func newMailer(c Config) (*mailer, error) {
	if c.SMTPURL == "" {
		return nil, nil
	}
	bad := func(err error, why string) error {
		return sess.Wrap(err, sess.CodeInvalid, why, "for example --smtp-url smtp://sess@mail.example.com:587 --smtp-password-file FILE --mail-from sess@example.com")
	}
	u, err := url.Parse(c.SMTPURL)
	if err != nil || u.Hostname() == "" || (u.Scheme != "smtp" && u.Scheme != "smtps") || strings.Trim(u.Path, "/") != "" {
		return nil, bad(nil, "the SMTP URL is not smtp://HOST or smtps://HOST") // the cause would quote it
	}
	if _, has := u.User.Password(); has {
		return nil, bad(nil, "the SMTP URL holds a password, which others can see")
	}
	opts, err := smtpOptions(u, c.SMTPPasswordFile)
	if err != nil {
		return nil, bad(err, "the settings for sending mail don't fit together")
	}
	if m := mail.NewMsg(); m.From(c.MailFrom) != nil {
		return nil, bad(nil, fmt.Sprintf("--mail-from %q is no e-mail address", c.MailFrom))
	}
	client, err := mail.NewClient(u.Hostname(), opts...)
	if err != nil {
		return nil, bad(err, "mail can't be sent by that SMTP server")
	}
	return &mailer{client: client, from: c.MailFrom, log: c.Log, retries: mailRetries(), ready: make(chan mailJob, maxMails)}, nil
}

// smtpOptions gives how the SMTP server is spoken to: encrypted, unless it is on this machine or the URL says starttls=off,
// and then without a password.
func smtpOptions(u *url.URL, passwordFile string) ([]mail.Option, error) {
	port := portSMTP
	if u.Scheme == "smtps" {
		port = portSMTPS
	}
	if p := u.Port(); p != "" {
		port, _ = strconv.Atoi(p) // url.Parse let it through: digits
	}
	opts := []mail.Option{mail.WithPort(port), mail.WithTimeout(mailTimeout), mail.WithTLSConfig(&tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12})}
	local := u.Hostname() == "localhost"
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		local = a.IsLoopback()
	}
	off := u.Query().Get("starttls") == "off"
	auth := mail.SMTPAuthAutoDiscover
	switch {
	case u.Scheme == "smtps":
		opts = append(opts, mail.WithSSL())
	case local:
		opts = append(opts, mail.WithTLSPolicy(mail.NoTLS))
		auth = mail.SMTPAuthPlainNoEnc
	case off:
		opts = append(opts, mail.WithTLSPolicy(mail.NoTLS))
	default:
		opts = append(opts, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	switch {
	case passwordFile == "" && u.User.Username() == "":
		return opts, nil
	case passwordFile == "" || u.User.Username() == "":
		return nil, errors.New("a user in the URL and --smtp-password-file go together")
	case off && !local:
		return nil, errors.New("a password is not sent without encryption: leave starttls=off out")
	}
	password, err := readPassword(passwordFile)
	if err != nil {
		return nil, err
	}
	return append(opts, mail.WithSMTPAuth(auth), mail.WithUsername(u.User.Username()), mail.WithPassword(password)), nil
}

func readPassword(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSMTPSecret+1))
	text := strings.TrimRight(string(b), "\r\n")
	if err != nil || len(b) > maxSMTPSecret || text == "" {
		return "", fmt.Errorf("%s holds no password of 1 to %d bytes", path, maxSMTPSecret)
	}
	return text, nil
}

// Queue implements identity.Mailer.
func (m *mailer) Queue(ctx context.Context, what identity.Mail, note func(context.Context, identity.Mailed)) {
	m.put(ctx, mailJob{mail: what, note: note})
}

func (m *mailer) put(ctx context.Context, j mailJob) {
	select {
	case m.ready <- j:
	default:
		j.note(ctx, identity.Mailed{Final: true, Problem: "too many mails wait to be sent"})
	}
}

// Run sends until ctx ends.
func (m *mailer) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range mailWorkers {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case j := <-m.ready:
					m.try(ctx, j)
				}
			}
		})
	}
	wg.Wait()
}

// try sends a mail once, and plans the next try where that may help.
func (m *mailer) try(ctx context.Context, j mailJob) {
	err := m.send(ctx, j.mail)
	if err == nil {
		j.note(ctx, identity.Mailed{Sent: true, Final: true})
		return
	}
	if ctx.Err() != nil {
		return
	}
	again := temporary(err) && j.try < len(m.retries)
	m.log.WarnContext(ctx, "mail not sent", "try", j.try+1, "again", again, "err", err)
	j.note(ctx, identity.Mailed{Final: !again, Problem: problemOf(err)})
	if again {
		pause := m.retries[j.try]
		j.try++
		time.AfterFunc(pause, func() { m.put(ctx, j) })
	}
}

func (m *mailer) send(ctx context.Context, what identity.Mail) error {
	msg := mail.NewMsg()
	if err := errors.Join(msg.From(m.from), msg.To(what.To)); err != nil {
		return fmt.Errorf("address mail: %w", err)
	}
	msg.Subject(what.Subject)
	msg.SetDate()
	msg.SetMessageID()
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(mail.TypeTextPlain, what.Text)
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	return m.client.DialAndSendWithContext(ctx, msg) //nolint:wrapcheck // looked at by its type
}

// temporary reports whether another try may help: the server can't be reached, or says so.
func temporary(err error) bool {
	if e, ok := errors.AsType[*mail.SendError](err); ok && e.ErrorCode() >= 400 {
		return e.ErrorCode() < 500
	}
	if e, ok := errors.AsType[*textproto.Error](err); ok {
		return e.Code < 500
	}
	if e, ok := errors.AsType[*mail.SendError](err); ok {
		return e.IsTemp()
	}
	return true
}

// problemOf says for an admin of an organisation what went wrong: the mail server's own words about the mail, but nothing of
// how it is reached, which is for the log.
func problemOf(err error) string {
	if e, ok := errors.AsType[*textproto.Error](err); ok {
		return fmt.Sprintf("the mail server says: %d %.*s", e.Code, maxSMTPProblem, e.Msg)
	}
	if e, ok := errors.AsType[*mail.SendError](err); ok && e.ErrorCode() >= 400 {
		return fmt.Sprintf("the mail server says: %d %s", e.ErrorCode(), e.EnhancedStatusCode())
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return "the mail server can't be reached"
	}
	return "the mail server did not take it; the server's log has the cause"
}
