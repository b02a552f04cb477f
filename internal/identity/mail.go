package identity

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Mail is a message to a person.
type Mail struct {
	To, Subject, Text string
}

// Mailed is what became of a message so far. Problem is in words for an admin; Final says that nothing more will be tried.
type Mailed struct {
	Sent, Final bool
	Problem     string
}

// Mailer sends mail apart from what asks for it, and tries again for a while. Queue never waits; note is called after each
// try, the last time with Final set.
type Mailer interface {
	Queue(ctx context.Context, m Mail, note func(context.Context, Mailed))
}

// What is kept of a mail.
const (
	mailQueued = "queued"
	mailSent   = "sent"
	mailFailed = "failed: "
	// mailWait is how long an admin waits to hear what became of the first try.
	mailWait = 5 * time.Second
	// MailGivenUp is the age at which a mail that is still queued never went out: its server was stopped.
	MailGivenUp = 30 * time.Minute
	maxProblem  = 300 // bytes
)

func (m Mailed) state() string {
	switch {
	case m.Sent:
		return mailSent
	case m.Final:
		return mailFailed + clip(m.Problem, maxProblem)
	}
	return mailQueued + ", trying again: " + clip(m.Problem, maxProblem)
}

// mailState says what became of a mail that was queued at a time.
func (s *Service) mailState(state string, at int64) string {
	if strings.HasPrefix(state, mailQueued) && store.Time(at).Add(MailGivenUp).Before(s.now()) {
		return mailFailed + "the server was stopped before it could be sent"
	}
	return state
}

// send queues a mail, keeps what becomes of it, and waits a moment for the first try. keep writes the state down.
func (s *Service) send(ctx context.Context, who sess.Principal, to store.Member, m Mail, keep func(context.Context, *store.Tx, string) error) string {
	first := make(chan string, 1)
	s.mail.Queue(ctx, m, func(ctx context.Context, done Mailed) {
		state := done.state()
		err := s.db.Write(ctx, func(tx *store.Tx) error {
			if done.Final && !done.Sent {
				if err := s.gate.Event(ctx, tx, gate.Entry{
					Who: sess.System(to.Org), Action: policy.MailFailed, Outcome: audit.Failed, Code: sess.CodeUnavailable, On: userResource(to), Time: s.now(),
					Reason: clip(done.Problem, maxProblem), Details: map[string]string{"asked_by": who.Name},
				}); err != nil {
					return err
				}
			}
			return keep(ctx, tx, state)
		})
		if err != nil {
			s.log.ErrorContext(ctx, "what became of a mail was not written down", "user", to.UserID, "err", err)
		}
		select {
		case first <- state:
		default:
		}
	})
	patience := time.NewTimer(mailWait)
	defer patience.Stop()
	select {
	case state := <-first:
		return state
	case <-patience.C:
	case <-ctx.Done():
	}
	return mailQueued
}

// mailInvite sends an invitation.
func (s *Service) mailInvite(ctx context.Context, who sess.Principal, inv invited, out api.InviteOut) string {
	m := Mail{To: inv.member.Name, Subject: fmt.Sprintf("You are invited to %s on %s", inv.org.Name, s.publicURL.Host)}
	until := inv.expires.Format("Monday, 2 January 2006, 15:04 MST")
	switch {
	case out.Password != "":
		m.Text = fmt.Sprintf("%s invites you to the organisation %s on the sess-server %s.\n\nLog in with this temporary password, which you will be asked to change:\n\n"+
			"  %s\n\n  sessctl login --server '%s' --email %s\n\nIt is valid until %s.\n", who.Name, inv.org.Name, s.publicURL.Host, out.Password, s.serverName(), quote(inv.member.Name), until)
	case inv.known:
		m.Text = fmt.Sprintf("%s invites you to the organisation %s on the sess-server %s, where you have an account already.\n\nJoin with the password you have there:\n\n"+
			"  sessctl accept '%s'\n\nThe link serves once, until %s. If you don't want to join, do nothing.\n", who.Name, inv.org.Name, s.publicURL.Host, out.Link, until)
	default:
		m.Text = fmt.Sprintf("%s invites you to the organisation %s on the sess-server %s.\n\nSet your password:\n\n  sessctl accept '%s'\n\n"+
			"The link serves once, until %s.\n", who.Name, inv.org.Name, s.publicURL.Host, out.Link, until)
	}
	return s.send(ctx, who, inv.member, m, func(ctx context.Context, tx *store.Tx, state string) error {
		_, err := tx.SetInviteMail(ctx, inv.member.Org, inv.id, state)
		return err
	})
}

// resetMail is the mail with a link that sets a new password.
func (s *Service) resetMail(email, link, why string, expires time.Time) Mail {
	return Mail{
		To: email, Subject: "A new password on " + s.publicURL.Host,
		Text: fmt.Sprintf("%s\n\nSet a new password with\n\n  sessctl reset '%s'\n\nThe link serves once, until %s. All your logins end with it.\n", why, link,
			expires.Format("Monday, 2 January 2006, 15:04 MST")),
	}
}
