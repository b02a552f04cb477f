package e2e

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/rogpeppe/go-internal/testscript"
)

const smtpUser, smtpPassword = "sess", "let mail through 7"

// mailbox is a real SMTP server that keeps what it is given as files DIR/1, DIR/2, … with the texts as people read them.
type mailbox struct {
	dir string

	mu     sync.Mutex // protects the following
	n      int
	refuse int // the code that mail is refused with; 0: none
}

// NewSession implements smtp.Backend.
func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &mailSession{box: m}, nil }

type mailSession struct {
	box    *mailbox
	authed bool
	to     []string
}

// AuthMechanisms implements smtp.AuthSession.
func (s *mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth implements smtp.AuthSession.
func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != smtpUser || password != smtpPassword {
			return errors.New("wrong password")
		}
		s.authed = true
		return nil
	}), nil
}

// Mail implements smtp.Session.
func (s *mailSession) Mail(string, *smtp.MailOptions) error {
	if !s.authed {
		return smtp.ErrAuthRequired
	}
	return nil
}

// Rcpt implements smtp.Session.
func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	if c := s.box.refuse; c != 0 {
		return &smtp.SMTPError{Code: c, EnhancedCode: smtp.EnhancedCode{c / 100, 1, 1}, Message: "no such mailbox here"}
	}
	s.to = append(s.to, to)
	return nil
}

// Data implements smtp.Session.
func (s *mailSession) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		return err
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		return err
	}
	text := fmt.Sprintf("To: %s\nFrom: %s\nSubject: %s\n\n%s", strings.Join(s.to, ","), m.Header.Get("From"), subject, strings.ReplaceAll(string(body), "\r\n", "\n"))
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.n++
	name := filepath.Join(s.box.dir, fmt.Sprint(s.box.n))
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// Reset implements smtp.Session.
func (s *mailSession) Reset() { s.to = nil }

// Logout implements smtp.Session.
func (s *mailSession) Logout() error { return nil }

// mailKey finds the mailbox of a script among its values.
type mailKey struct{}

// cmdSMTP is a mail server of the script's own: "smtp start" runs it and has the script's server use it from its next start
// on, "smtp refuse CODE" has it refuse mail (0: take it again). Mails are $MAIL/1, $MAIL/2, ….
func cmdSMTP(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: smtp start | smtp refuse CODE")
	}
	w := ownWorld(ts)
	switch args[0] {
	case "start":
		box := &mailbox{dir: filepath.Join(ts.Getenv("WORK"), "mail")}
		ts.Check(os.MkdirAll(box.dir, 0o700))
		password := filepath.Join(ts.Getenv("WORK"), "smtp-password")
		ts.Check(os.WriteFile(password, []byte(smtpPassword+"\n"), 0o600))
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		s := smtp.NewServer(box)
		s.AllowInsecureAuth = true
		go func() { _ = s.Serve(l) }() // until it is closed
		ts.Defer(func() { _ = s.Close() })
		ts.Value(mailKey{}).(*mailOf).box = box
		ts.Setenv("MAIL", box.dir)
		w.mail = []string{
			"SESS_SERVER_SMTP_URL=smtp://" + smtpUser + "@" + l.Addr().String(), "SESS_SERVER_SMTP_PASSWORD_FILE=" + password, "SESS_SERVER_MAIL_FROM=sess@box.example",
		}
	case "refuse":
		box := ts.Value(mailKey{}).(*mailOf).box
		box.mu.Lock()
		defer box.mu.Unlock()
		_, err := fmt.Sscan(args[1], &box.refuse)
		ts.Check(err)
	default:
		ts.Fatalf("smtp %s?", args[0])
	}
}

type mailOf struct{ box *mailbox }
