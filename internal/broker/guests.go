package broker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Guests are the participants of a session beside its owner: who watches, types or moderates. A row of table participant
// is the authority on each, as the session's row is on the session, and is changed under the lock of the session's row.

const (
	// guestGrace is for how long a guest whose connection broke may come back by their key.
	guestGrace = time.Minute
	// sharesLook is for how long after a share ran out those who are there by it are looked at, every second: a tick may be late.
	sharesLook = 10 * time.Second
	// answerTime is how long the owner of a session has to let somebody in who asks.
	answerTime = 2 * time.Minute
)

// Why somebody is in a session no more.
const (
	leftSelf    = "left"
	leftAway    = "away"
	leftEnded   = "ended"
	leftKicked  = "kicked"
	leftRevoked = "revoked"
	leftRefused = "refused"
	leftNoWord  = "no answer"
)

// roleAction is what is asked for by who wants to be in a session in a role.
func roleAction(r sess.JoinRole) policy.Action {
	switch r {
	case sess.JoinPeer:
		return policy.SessionJoin
	case sess.JoinModerator:
		return policy.SessionModerate
	case sess.JoinObserver, sess.JoinOwner:
	}
	return policy.SessionObserve
}

// guestAction is what lets a guest stay.
func guestAction(p store.Participant) policy.Action {
	if p.AskedAt != nil {
		return policy.SessionAsk // and the owner's yes
	}
	return roleAction(p.Role)
}

// guestPrincipal is a guest as a principal, for decisions and events. The gate looks the member up.
func guestPrincipal(p store.Participant) sess.Principal {
	from, _ := netip.ParseAddr(p.ClientAddr) // we wrote it
	return sess.Principal{
		Org: p.Org, User: p.UserID, Name: p.UserName, Credential: p.Credential, CredentialID: p.CredentialID,
		MFAAt: store.TimePtr(microsOf(p.MFAAt)), IDP: string(p.IDP), Addr: from,
	}
}

func microsOf(us int64) *int64 {
	if us == 0 {
		return nil
	}
	return &us
}

// sharedRole gives the role in which a session is shared with a user, as far as act asks for one; empty: it is not.
func sharedRole(shares []store.SessionShare, id sess.SessionID, act policy.Action) sess.JoinRole {
	var found sess.JoinRole
	for _, sh := range shares {
		if sh.Session == id && (found == "" || roleAction(sh.Role) == act) {
			found = sh.Role
		}
	}
	return found
}

// sharesWith gives what is shared with a user now.
func (s *Service) sharesWith(ctx context.Context, tx *store.Tx, org sess.OrgID, user sess.UserID) ([]store.SessionShare, error) {
	shares, err := tx.ListSharesWithUser(ctx, org, user, store.Micros(s.now()))
	if err != nil {
		return nil, fmt.Errorf("look for what is shared: %w", err)
	}
	return shares, nil
}

// sharedResource gives what a session is to a user who asks for act.
func (s *Service) sharedResource(ctx context.Context, tx *store.Tx, r store.Session, user sess.UserID, act policy.Action) (policy.Resource, error) {
	on := sessionResource(r)
	if r.UserID == user {
		return on, nil
	}
	shares, err := s.sharesWith(ctx, tx, r.Org, user)
	on.Shared = sharedRole(shares, r.ID, act)
	return on, err
}

// sharedAs gives what sessions are to who asks, with whom some are shared.
func sharedAs(tx *gate.Tx, shares []store.SessionShare) func(store.Session) policy.Resource {
	return func(r store.Session) policy.Resource {
		on := sessionResource(r)
		if r.UserID != tx.Who().User {
			on.Shared = sharedRole(shares, r.ID, tx.Action())
		}
		return on
	}
}

// byRefShared is byRef for a session that may only be shared with who asks; instead is as in gate.Find.
func (s *Service) byRefShared(ctx context.Context, ref string, found *store.Session, instead policy.Action) gate.Find {
	return gate.Find{Type: policy.TypeSession, Name: ref, Instead: instead, By: func(tx *gate.Tx) (policy.Resource, error) {
		shares, err := s.sharesWith(ctx, tx.Tx, tx.Who().Org, tx.Who().User)
		if err != nil {
			return policy.Resource{}, err
		}
		as := sharedAs(tx, shares)
		if *found, err = findSession(ctx, tx, ref, policy.SessionShow, as); err != nil {
			return policy.Resource{}, err
		}
		return as(*found), nil
	}}
}

// Join lets somebody into a session beside its owner: it decides, writes the participant and gives a ticket. Whoever may
// only ask gets a number to wait with, and the owner is asked.
func (s *Service) Join(ctx context.Context, who sess.Principal, in api.JoinIn) (api.JoinOut, error) {
	var found, row store.Session
	var p store.Participant
	var out api.JoinOut
	err := s.gate.DoFind(ctx, who, roleAction(in.Body.Role), s.byRefShared(ctx, in.Session, &found, policy.SessionAsk), func(tx *gate.Tx) error {
		if err := checkKey(in.Body.PublicKey); err != nil {
			return err
		}
		r, err := lock(ctx, tx.Tx, found.Org, found.ID)
		if err != nil {
			return err
		}
		row = *r
		refused, err := s.mayBeGuest(ctx, tx, row, in)
		if err != nil {
			return err
		}
		if refused != nil {
			tx.Reject(refused)
			return nil
		}
		if p, err = s.newGuest(ctx, tx, row, in); err != nil {
			return err
		}
		tx.Detail("participant", fmt.Sprint(p.Num))
		tx.Detail("role", string(p.Role))
		tx.Detail("owner", row.UserName)
		out, err = s.joinAnswer(ctx, tx.Tx, row, &p)
		return err
	})
	if err != nil {
		return api.JoinOut{}, err
	}
	if out.Waiting != nil {
		s.askOwner(row, p)
	}
	return out, nil
}

// mayBeGuest says what stands against somebody joining, or asking to: an error, or a limit of their own on connections, which
// refuses them before the owner is asked and before there is a ticket, and again when that is redeemed.
func (s *Service) mayBeGuest(ctx context.Context, tx *gate.Tx, r store.Session, in api.JoinIn) (*sess.Error, error) {
	if err := joinable(r, tx.Who().User, in.Body.Role, tx.Action() == policy.SessionAsk); err != nil {
		return nil, err
	}
	on := sessionResource(r)
	on.Type = policy.TypeInstance
	return mayConnect(ctx, tx, r, noParticipant, tx.Rules().Controls(tx.Grants(), on), sess.CodeLimited)
}

// noParticipant is the number of nobody in a session.
const noParticipant = -1

// newGuest writes a participant who may join, or ask to.
func (s *Service) newGuest(ctx context.Context, tx *gate.Tx, r store.Session, in api.JoinIn) (store.Participant, error) {
	who, asks := tx.Who(), tx.Action() == policy.SessionAsk
	var none store.Participant
	if err := s.instead(ctx, tx, r, in.Body.Role, asks); err != nil {
		return none, err
	}
	here, err := tx.CountGuests(ctx, r.Org, r.ID)
	if err != nil {
		return none, fmt.Errorf("count guests: %w", err)
	}
	last, err := tx.LastParticipant(ctx, r.Org, r.ID)
	if err != nil {
		return none, fmt.Errorf("count participants: %w", err)
	}
	switch {
	case here >= sess.MaxGuests:
		return none, sess.New(sess.CodeLimited, fmt.Sprintf("%d people are in the session beside its owner, more are not let in", here), "wait until somebody leaves")
	case last >= sess.MaxParticipants:
		return none, sess.New(sess.CodeLimited, fmt.Sprintf("%d people have been in the session, more are not let in", last), "")
	}
	now := store.Micros(s.now())
	p := store.Participant{
		Org: r.Org, Session: r.ID, Num: last + 1, Role: in.Body.Role, UserID: who.User, UserName: who.Name,
		Credential: who.Credential, CredentialID: who.CredentialID, ClientAddr: who.Addr.String(), CreatedAt: now,
		ClientKey: encodeKey(in.Body.PublicKey), IDP: sess.IDPID(who.IDP),
	}
	if at := store.MicrosPtr(who.MFAAt); at != nil {
		p.MFAAt = *at
	}
	if asks {
		p.AskedAt = &now
	}
	err = tx.InsertParticipant(ctx, store.InsertParticipantParams{
		Org: p.Org, Session: p.Session, Num: p.Num, Role: p.Role, UserID: p.UserID, UserName: p.UserName, Credential: p.Credential,
		CredentialID: p.CredentialID, ClientAddr: p.ClientAddr, CreatedAt: p.CreatedAt, ClientKey: p.ClientKey, MFAAt: p.MFAAt,
		IDP: p.IDP, AskedAt: p.AskedAt,
	})
	if err != nil {
		return none, fmt.Errorf("insert participant: %w", err)
	}
	return p, nil
}

// joinable says why a session can't be joined as it is.
func joinable(r store.Session, user sess.UserID, role sess.JoinRole, asks bool) error {
	switch {
	case r.State == sess.StateEnded:
		return endedError(r)
	case r.State == sess.StatePending:
		return sess.New(sess.CodePending, "the session has not begun yet", "try again in a moment")
	case role == sess.JoinModerator && r.UserID == user:
		return sess.New(sess.CodeDenied, "nobody moderates a session of their own", "ask somebody else to: sessctl session share "+string(r.ID)+" --role moderator --with USER")
	case role.Types() && r.Tty == 0:
		return sess.New(sess.CodeInvalid, "this is a command without a terminal: it can be watched, but nobody joins its input", "sessctl join "+string(r.ID)+" --observe")
	case asks && r.State != sess.StateActive:
		return sess.New(sess.CodeConflict, "the owner of the session is away, and nobody else can let you in", "try again when they are back: sessctl session show "+string(r.ID))
	}
	return nil
}

// joinAnswer is what a participant gets: a ticket, or until when the owner may answer.
func (s *Service) joinAnswer(ctx context.Context, tx *store.Tx, r store.Session, p *store.Participant) (api.JoinOut, error) {
	out := api.JoinOut{Participant: uint16(p.Num), Role: p.Role, Owner: r.UserName, Terminal: r.Tty == 1} //nolint:gosec // at most MaxParticipants
	if p.AskedAt != nil && p.AnsweredAt == nil {
		until := store.Time(*p.AskedAt).Add(answerTime)
		out.Waiting = &until
		out.Ticket = s.ticket(r, "", "")
		return out, nil
	}
	token, url, err := s.mintGuest(ctx, tx, r, p)
	if err != nil {
		return api.JoinOut{}, err
	}
	out.Ticket = s.ticket(r, token, url)
	return out, nil
}

// mintGuest makes a ticket of a participant, of the next generation.
func (s *Service) mintGuest(ctx context.Context, tx *store.Tx, r store.Session, p *store.Participant) (token, url string, err error) {
	token = newTicket()
	p.Minted++
	now := s.now()
	err = tx.InsertGuestTicket(ctx, store.InsertGuestTicketParams{
		Org: r.Org, Hash: sess.HashToken(token), Session: r.ID, Gen: p.Minted, Node: r.Node, OwnerKey: p.ClientKey, UserID: p.UserID,
		Credential: string(p.Credential), CredentialID: p.CredentialID, CreatedAt: store.Micros(now),
		ExpiresAt: store.Micros(now.Add(sess.TicketTTL)), Participant: p.Num,
	})
	if err != nil {
		return "", "", fmt.Errorf("insert ticket: %w", err)
	}
	if err := saveGuest(ctx, tx, p); err != nil {
		return "", "", err
	}
	url, err = s.streamURL(ctx, tx, r.Node)
	return token, url, err
}

// saveGuest writes a participant back; the transaction holds the session's row.
func saveGuest(ctx context.Context, tx *store.Tx, p *store.Participant) error {
	err := tx.SaveParticipant(ctx, store.SaveParticipantParams{
		Org: p.Org, Session: p.Session, Num: p.Num, JoinedAt: p.JoinedAt, LeftAt: p.LeftAt, LeftReason: p.LeftReason,
		Minted: p.Minted, Redeemed: p.Redeemed, AnsweredAt: p.AnsweredAt, HereAt: p.HereAt, AwayAt: p.AwayAt,
		ClientAddr: p.ClientAddr,
	})
	if err != nil {
		return fmt.Errorf("save participant: %w", err)
	}
	return nil
}

// lockGuest takes hold of a session and loads one of its participants.
func lockGuest(ctx context.Context, tx *store.Tx, org sess.OrgID, id sess.SessionID, num int64) (*store.Session, *store.Participant, error) {
	r, err := lock(ctx, tx, org, id)
	if err != nil {
		return nil, nil, err
	}
	p, err := tx.GetParticipant(ctx, org, id, num)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil, sess.New(sess.CodeNotFound, fmt.Sprintf("no participant %d in the session", num), "sessctl session show "+string(id)+" lists who is there")
	case err != nil:
		return nil, nil, fmt.Errorf("load participant: %w", err)
	}
	return r, &p, nil
}

// goneError tells a participant why they are in a session no more.
func goneError(p store.Participant) error {
	text := map[string]string{
		leftKicked: "you were put out of the session", leftRevoked: "you may not be in the session any more",
		leftRefused: "the owner of the session said no", leftNoWord: "the owner of the session did not answer",
		leftEnded: "the session is over", leftAway: "you were away from the session for too long",
		leftReplaced: "you joined the session again from elsewhere",
	}[p.LeftReason]
	if text == "" {
		text = "you left the session"
	}
	code := sess.CodeDenied
	if p.LeftReason == leftEnded {
		code = sess.CodeEnded
	}
	return sess.New(code, text, "sessctl join "+string(p.Session)+" asks to be let in once more")
}
