package agent

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/agent/process"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Limits of what an offer may say.
const (
	// clockSkew is how far this machine's clock and the broker's may be apart before an offer counts as expired. The
	// nonce is what keeps old offers from counting; this only finds mistakes.
	clockSkew = 24 * time.Hour
	maxGrace  = sess.MaxGrace
)

// offered looks at an offer and accepts or rejects it.
func (a *Agent) offered(life context.Context, c *link.Conn, nonce string, m wire.Control) {
	var o wire.Offer
	if m.Signed == nil {
		a.log.Warn("offer without a signature")
		return
	}
	if err := m.Signed.Verify(a.broker, wire.PurposeOffer, &o); err != nil {
		// Whose session this is can't be believed either, so there is nothing to reject.
		a.log.Warn("offer not looked at", "error", err)
		return
	}
	if old := a.session(o.Session); old != nil && o.Nonce == nonce && bytes.Equal(old.offer.ParamsHash, o.ParamsHash) {
		old.take(ticket{secret: m.Ticket, url: m.URL}) // the server does not know yet that we have it: a fresh ticket, then
		a.accept(c, old)
		return
	}
	s, err := a.admit(life, nonce, o)
	if err != nil {
		face := sess.Public(err)
		a.log.Warn("session rejected", "session", o.Session, "by", o.By, "kind", o.Kind, "os_user", o.OSUser, "error", err)
		reject := wire.Control{T: wire.ControlReject, Session: o.Session, Code: face.Code, Message: face.Message, Hint: face.Hint}
		if err := c.WriteControl(reject); err != nil {
			a.log.Debug("send reject", "error", err)
		}
		return
	}
	a.log.Info("session accepted", "session", o.Session, "by", o.By, "kind", o.Kind, "os_user", s.account.Name, "reason", o.Reason, "lease", s.lease.time)
	a.accept(c, s)
	// Run waits for it through a.work, which add has counted up and drop counts down
	go func() { //nolint:contextcheck // the session has a context of its own
		s.run(ticket{secret: m.Ticket, url: m.URL})
		a.drop(s)
		a.count()
	}()
	a.count() // the session does not wait for a file
}

func (a *Agent) accept(c *link.Conn, s *session) {
	m := wire.Control{T: wire.ControlAccept, Session: s.offer.Session, OSUser: s.account.Name, LeaseMS: s.lease.time.Milliseconds()}
	if err := c.WriteControl(m); err != nil {
		a.log.Debug("send accept", "error", err) // the ticket may work all the same
	}
}

// admit decides about an offer whose signature is good, and makes the session.
func (a *Agent) admit(life context.Context, nonce string, o wire.Offer) (*session, error) {
	info, known := sess.Kinds[o.Kind]
	switch {
	case o.Nonce != nonce:
		return nil, sess.New(sess.CodeRejected, "the offer was made for another connection of this agent", "try again")
	case o.Instance != a.id.Instance:
		return nil, sess.New(sess.CodeRejected, "the offer is for another instance", "")
	case !sess.ValidID("ses", string(o.Session)):
		return nil, sess.New(sess.CodeInvalid, "the offer names no session", "")
	case time.Now().Add(-clockSkew).Unix() > o.Expires:
		return nil, sess.New(sess.CodeExpired, "the offer has expired", "check the instance's clock")
	case !known || a.handler(o.Kind) == nil:
		return nil, sess.New(sess.CodeRejected, fmt.Sprintf("this agent (version %s) knows no sessions of kind %q", a.opts.Version, o.Kind), "update the agent")
	case !a.opts.Config.allowsKind(o.Kind):
		return nil, sess.New(sess.CodeRejected, fmt.Sprintf("the machine's owner does not allow sessions of kind %s", o.Kind), "its file has allow_kinds")
	}
	account, err := a.account(life, o.OSUser)
	if err != nil {
		return nil, err
	}
	o.GraceMS = max(0, min(o.GraceMS, maxGrace.Milliseconds()))
	s := newSession(life, a, o, info, account)
	if err := a.add(s); err != nil {
		return nil, err
	}
	return s, nil
}

// account gives the user that a session runs as: the one it names, else the default; the owner's config has the last
// word.
func (a *Agent) account(ctx context.Context, name string) (process.Account, error) {
	cfg := a.opts.Config
	name = orElse(name, cfg.DefaultUser)
	if os.Getuid() != 0 {
		if name != "" && name != a.self.Name {
			return a.self, sess.New(sess.CodeRejected, fmt.Sprintf("the agent runs as %s and can't run anything as %s", a.self.Name, name),
				"leave the user out; or run the agent as root")
		}
		name = a.self.Name
	}
	if name == "" {
		return a.self, sess.New(sess.CodeRejected, "the agent runs as root, so a session must name its user", "use USER@INSTANCE or --user; or have the owner set default_user")
	}
	if !cfg.allowsUser(name) {
		return a.self, sess.New(sess.CodeRejected, fmt.Sprintf("the machine's owner does not allow sessions as %s", name),
			"allowed are "+strings.Join(cfg.AllowUsers, ", "))
	}
	acc := a.self
	if name != a.self.Name || os.Getuid() == 0 {
		var err error
		if acc, err = a.opts.Accounts.Lookup(ctx, name); err != nil {
			return acc, err
		}
	}
	if acc.UID == 0 && cfg.DenyRoot {
		return acc, sess.New(sess.CodeRejected, "the machine's owner does not allow sessions as root", "name another user")
	}
	return acc, a.opts.Accounts.MayLogin(acc, time.Now())
}

// count keeps the number of sessions in the status file.
func (a *Agent) count() {
	a.report(func(s *Status) { s.Sessions = len(a.sessions) })
}
