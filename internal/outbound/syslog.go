package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// Limits of syslog.
const (
	syslogTimeout = 20 * time.Second // to send one batch and see that it was taken
	// syslogSettle is how long a connection has to stay up after the last byte of a batch was taken by the other machine, before
	// the batch counts as delivered: syslog itself has no answer.
	syslogSettle = 300 * time.Millisecond
	syslogPoll   = 10 * time.Millisecond
	portSyslog   = "601"
	portSyslogS  = "6514"
	maxTalk      = 4 << 10 // bytes that a receiver may say
	maxMsgID     = 32
	maxHost      = 255
)

// auditFacility is that of log audits, in its place in a priority.
const auditFacility = 13 << 3

// Severity is how much a syslog message matters.
type Severity int

// The severities that are used.
const (
	SeverityError   Severity = 3
	SeverityWarning Severity = 4
	SeverityInfo    Severity = 6
)

// SyslogMessage is one message, as RFC 5424 has it.
type SyslogMessage struct {
	Time     time.Time
	Severity Severity
	ID       string        // MSGID: what kind of message it is
	Data     []SyslogParam // structured data, in order
	Text     []byte        // UTF-8
}

// SyslogParam is a piece of structured data; empty ones are left out.
type SyslogParam struct{ Name, Value string }

// syslogData names our structured data. 32473 is the enterprise number that IANA keeps for those who have none.
const syslogData = "sess@32473"

// SyslogConfig describes where syslog goes.
type SyslogConfig struct {
	URL   string // tls://HOST[:PORT], tcp://HOST[:PORT] or unix:///PATH
	CA    string // PEM of certificate authorities beside the system's; may be empty
	Guard Guard
	Local bool   // a socket on this machine may be named
	Host  string // HOSTNAME of the messages
}

// Syslog sends messages to one receiver, over a connection that it keeps. It is for one goroutine.
type Syslog struct {
	url   *url.URL
	tls   *tls.Config
	guard Guard
	host  string

	conn     net.Conn
	datagram bool
	socket   os.FileInfo  // of a receiver that takes datagrams
	gone     *atomic.Bool // the other side closed conn
}

// CheckSyslogURL reads the address of a receiver.
func CheckSyslogURL(raw string, g Guard, local bool) (*url.URL, error) {
	const hint = "give tls://HOST:PORT"
	if len(raw) > MaxURL {
		return nil, sess.New(sess.CodeInvalid, fmt.Sprintf("the address is longer than %d bytes", MaxURL), hint)
	}
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, sess.New(sess.CodeInvalid, "that is no address that syslog can go to", hint)
	}
	switch {
	case u.Scheme == "unix" && !local:
		return nil, sess.New(sess.CodeInvalid, "only the server's owner can have the log sent to a socket on its machine", hint)
	case u.Scheme == "unix" && u.Host == "" && strings.HasPrefix(u.Path, "/"):
		return u, nil
	case u.Scheme == "tcp" && !g.AllowPrivate:
		return nil, sess.New(sess.CodeInvalid, "syslog goes over TLS: without, anybody on the way reads the log", hint)
	case (u.Scheme == "tls" || u.Scheme == "tcp") && u.Hostname() != "" && strings.Trim(u.Path, "/") == "":
		return u, nil
	}
	return nil, sess.New(sess.CodeInvalid, "that is no address that syslog can go to", hint)
}

// NewSyslog makes a Syslog; it connects when there is something to send.
func NewSyslog(c SyslogConfig) (*Syslog, error) {
	u, err := CheckSyslogURL(c.URL, c.Guard, c.Local)
	if err != nil {
		return nil, err
	}
	roots, err := Roots(c.CA)
	if err != nil {
		return nil, err
	}
	return &Syslog{url: u, guard: c.Guard, host: printable(c.Host, maxHost), tls: &tls.Config{ServerName: u.Hostname(), RootCAs: roots, MinVersion: tls.VersionTLS12}}, nil
}

// Send sends messages in order and returns once they count as delivered. What fails may have been delivered in part: send all
// of it again. Every error is a *Failure.
func (s *Syslog) Send(ctx context.Context, list []SyslogMessage) error {
	ctx, cancel := context.WithTimeout(ctx, syslogTimeout)
	defer cancel()
	if s.conn != nil && s.gone.Load() {
		s.Close()
	}
	if s.conn == nil {
		if err := s.dial(ctx); err != nil {
			return unreachable(err)
		}
	}
	err := s.write(ctx, list)
	if err == nil {
		err = s.settle(ctx)
	}
	if err != nil {
		s.Close()
		f := unreachable(err)
		f.Reason = "the connection broke"
		return f
	}
	return nil
}

// Close ends the connection.
func (s *Syslog) Close() {
	if s.conn != nil {
		_ = s.conn.Close() // nothing is waited for
		s.conn = nil
	}
}

func (s *Syslog) dial(ctx context.Context) (err error) {
	d := s.guard.Dialer()
	s.datagram = false
	switch s.url.Scheme {
	case "unix":
		local := &net.Dialer{Timeout: dialTimeout}
		if s.socket, err = os.Stat(s.url.Path); err != nil {
			return err
		}
		s.conn, err = local.DialContext(ctx, "unix", s.url.Path)
		if errors.Is(err, syscall.EPROTOTYPE) { // /dev/log takes datagrams
			s.datagram = true
			s.conn, err = local.DialContext(ctx, "unixgram", s.url.Path)
		}
	case "tcp":
		s.conn, err = d.DialContext(ctx, "tcp", hostPort(s.url, portSyslog))
	default:
		s.conn, err = (&tls.Dialer{NetDialer: d, Config: s.tls}).DialContext(ctx, "tcp", hostPort(s.url, portSyslogS))
	}
	if err != nil {
		s.conn = nil
		return err
	}
	s.gone = &atomic.Bool{}
	if !s.datagram {
		go watchEnd(s.conn, s.gone)
	}
	return nil
}

// watchEnd notices that the other side closes: it says nothing otherwise, and one that talks on is as good as gone.
func watchEnd(c net.Conn, gone *atomic.Bool) {
	_, _ = io.Copy(io.Discard, io.LimitReader(c, maxTalk))
	gone.Store(true)
}

func hostPort(u *url.URL, port string) string {
	if u.Port() != "" {
		port = u.Port()
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func (s *Syslog) write(ctx context.Context, list []SyslogMessage) error {
	if at, ok := ctx.Deadline(); ok {
		_ = s.conn.SetWriteDeadline(at)
	}
	var b bytes.Buffer
	for _, m := range list {
		if s.datagram {
			if _, err := s.conn.Write(local(m)); err != nil {
				return err
			}
			continue
		}
		text := s.format(m)
		b.WriteString(strconv.Itoa(len(text)))
		b.WriteByte(' ')
		b.Write(text)
	}
	if b.Len() == 0 {
		return nil
	}
	_, err := s.conn.Write(b.Bytes())
	return err
}

// settle waits until the other machine has every byte (of a socket on this one: the receiver), and then a moment for the receiver
// to fall over it.
func (s *Syslog) settle(ctx context.Context) error {
	tick := time.NewTicker(syslogPoll)
	defer tick.Stop()
	var since time.Time
	for {
		if s.gone.Load() {
			return errors.New("the receiver closed the connection")
		}
		switch left, err := unsent(s.conn); {
		case err != nil:
			return err
		case left > 0:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= syslogSettle:
			return s.sameReceiver(ctx)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// sameReceiver fails when the receiver of datagrams is gone, or another took its place: nothing tells otherwise, and what it had
// not read is gone with it.
func (s *Syslog) sameReceiver(ctx context.Context) error {
	if !s.datagram {
		return nil
	}
	now, err := os.Stat(s.url.Path)
	if err != nil {
		return err
	}
	if !os.SameFile(now, s.socket) || !now.ModTime().Equal(s.socket.ModTime()) {
		return errors.New("another receiver took the socket")
	}
	c, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unixgram", s.url.Path) // refused when nobody has it
	if err != nil {
		return err
	}
	return c.Close()
}

// format writes m as RFC 5424 has it.
func (s *Syslog) format(m SyslogMessage) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<%d>1 %s %s sess-server - %s ", auditFacility+int(m.Severity), m.Time.UTC().Format("2006-01-02T15:04:05.000000Z"), s.host, printable(m.ID, maxMsgID))
	m.data(&b)
	b.WriteString(" \xEF\xBB\xBF")
	b.Write(bytes.ToValidUTF8(m.Text, []byte("\uFFFD")))
	return b.Bytes()
}

// local writes m as programs write to the log socket of their machine, which is all that rsyslog and journald understand there.
func local(m SyslogMessage) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<%d>%s sess-server: ", auditFacility+int(m.Severity), m.Time.Local().Format(time.Stamp))
	m.data(&b)
	b.WriteByte(' ')
	b.Write(bytes.ToValidUTF8(m.Text, []byte("\uFFFD")))
	return b.Bytes()
}

// data writes the structured data.
func (m SyslogMessage) data(b *bytes.Buffer) {
	begin := b.Len()
	for _, p := range m.Data {
		if p.Value == "" {
			continue
		}
		if b.Len() == begin {
			b.WriteString("[" + syslogData)
		}
		fmt.Fprintf(b, ` %s="%s"`, p.Name, strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(strings.ToValidUTF8(p.Value, "\uFFFD")))
	}
	if b.Len() == begin {
		b.WriteByte('-')
	} else {
		b.WriteByte(']')
	}
}

// printable gives s as a field of a header: printable ASCII without spaces, "-" for nothing.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}
