package broker

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

// redeemGuest is Redeem for the ticket of a participant who is not the owner. It moves nothing of the session: the owner's
// key, generations and state stay as they are.
func (s *Service) redeemGuest(ctx context.Context, c claim) (Joined, error) {
	var j Joined
	err := s.gate.Do(ctx, c.who, guestAction(c.guest), c.on, func(tx *gate.Tx) error {
		tx.Detail("step", "connect")
		r, p, err := lockGuest(ctx, tx.Tx, c.ticket.Org, c.ticket.Session, c.ticket.Participant)
		if err != nil {
			return err
		}
		if err := s.mayStay(ctx, tx, *r, *p); err != nil {
			return err
		}
		if r.Node != s.node {
			return sess.New(sess.CodeMoved, "the session is on another server now", "ask for a fresh ticket")
		}
		if err := use(ctx, tx, c.ticket, p.Redeemed, s.now()); err != nil {
			return err
		}
		if r.State != sess.StateEnded {
			if err := s.connect(ctx, tx, r, p.Num, c.ticket.Gen); err != nil {
				return err
			}
		}
		p.Redeemed = c.ticket.Gen
		if c.who.Addr.IsValid() { // what is decided again is decided about where they are
			p.ClientAddr = c.who.Addr.String()
		}
		j = joined(*r, *r, c.ticket)
		j.Participant, j.Role, j.ClientGen = uint16(p.Num), p.Role, count(p.Redeemed) //nolint:gosec // at most MaxParticipants
		return saveGuest(ctx, tx.Tx, p)
	})
	return j, err
}

// claimGuest loads whose ticket it is, and what the session is to them.
func (s *Service) claimGuest(ctx context.Context, tx *store.Tx, r store.Session, c *claim) (err error) {
	if c.guest, err = tx.GetParticipant(ctx, r.Org, r.ID, c.ticket.Participant); err != nil {
		return err
	}
	if c.who, err = standing(ctx, tx, guestPrincipal(c.guest)); err != nil {
		return err
	}
	c.on, err = s.sharedResource(ctx, tx, r, c.guest.UserID, guestAction(c.guest))
	return err
}

// mayStay looks again at what lets a participant be in a session: the session lives, they have not left, the owner let
// them in where that is needed, and their credential counts, here and now.
func (s *Service) mayStay(ctx context.Context, tx *gate.Tx, r store.Session, p store.Participant) error {
	switch {
	case r.State == sess.StateEnded && !tail(r, s.now()):
		return endedError(r)
	case p.LeftAt != nil:
		return goneError(p)
	case p.AskedAt != nil && p.AnsweredAt == nil:
		return sess.New(sess.CodeDenied, "the owner of the session has not let you in yet", "wait for the answer")
	}
	return s.credentialCounts(ctx, tx, p.UserID)
}

// credentialCounts refuses who goes on by a login or key that counts no more, or not from where they are.
func (s *Service) credentialCounts(ctx context.Context, tx *gate.Tx, user sess.UserID) error {
	who := tx.Who()
	o, err := tx.GetSessionOwner(ctx, who.CredentialID, store.Micros(s.now()), who.Org, user)
	if err != nil {
		return fmt.Errorf("load participant's credential: %w", err)
	}
	switch {
	case who.Credential == sess.CredentialLogin && o.Logins == 0:
		return sess.New(sess.CodeDenied, "the login by which you joined was revoked", `run "sessctl login", then "sessctl join"`)
	case who.Credential == sess.CredentialKey && o.ApiKeys == 0:
		return sess.New(sess.CodeDenied, "the API key by which you joined was deleted or ran out", `make a new one with "sessctl key create"`)
	case who.Credential == sess.CredentialKey && !sess.AddressAccepted(o.Addresses, who.Addr):
		return sess.New(sess.CodeDenied, "the API key by which you joined is not accepted from your address "+who.Addr.String(),
			"it is limited to the addresses that sessctl key list shows")
	}
	return nil
}

// resumeGuest is Resume for a participant who is not the owner.
func (s *Service) resumeGuest(ctx context.Context, from sess.Principal, in api.ResumeIn) (api.Ticket, error) {
	known, p, err := s.proveGuest(ctx, from, in)
	if err != nil {
		return api.Ticket{}, err
	}
	who, on, err := s.guestAsks(ctx, known, p)
	if err != nil {
		return api.Ticket{}, err
	}
	who.Addr, who.RequestID = from.Addr, from.RequestID
	var out api.Ticket
	err = s.gate.Do(ctx, who, guestAction(p), on, func(tx *gate.Tx) error {
		tx.Detail("step", "resume")
		tx.Detail("participant", fmt.Sprint(p.Num))
		r, p, err := lockGuest(ctx, tx.Tx, known.Org, known.ID, p.Num)
		if err != nil {
			return err
		}
		n, err := tx.InsertResumeNonce(ctx, r.Org, r.ID, base64.RawURLEncoding.EncodeToString(in.Body.Nonce), store.Micros(s.now()))
		switch {
		case err != nil:
			return fmt.Errorf("keep nonce: %w", err)
		case n == 0:
			return sess.New(sess.CodeUnauthenticated, "this request was sent before", "make a new nonce for each")
		}
		if err := s.mayStay(ctx, tx, *r, *p); err != nil {
			return err
		}
		token, url, err := s.mintGuest(ctx, tx.Tx, *r, p)
		out = s.ticket(*r, token, url)
		return err
	})
	if err != nil {
		return api.Ticket{}, err
	}
	return out, nil
}

// proveGuest finds the participant and checks the signature of a resume request against their key.
func (s *Service) proveGuest(ctx context.Context, from sess.Principal, in api.ResumeIn) (r store.Session, p store.Participant, err error) {
	if len(in.Body.Nonce) != nonceSize {
		return r, p, sess.New(sess.CodeInvalid, fmt.Sprintf("the nonce has %d bytes, not %d", len(in.Body.Nonce), nonceSize), "")
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		var err error
		if r, err = tx.GetSessionByID(ctx, sess.SessionID(in.Session)); err != nil {
			return err
		}
		p, err = tx.GetParticipant(ctx, r.Org, r.ID, int64(in.Body.Participant))
		return err
	})
	if err != nil && !isNotFound(err) {
		return r, p, fmt.Errorf("look up participant: %w", err)
	}
	message := wire.SignedMessage(wire.PurposeResume, []byte(r.ID), in.Body.Nonce, []byte(s.name))
	if err != nil || !signedByClient(p.ClientKey, message, in.Body.Signature) {
		s.refuseAnonymous(ctx, r.Org, from.Addr, policy.SessionResume, p.UserName)
		return r, p, sess.New(sess.CodeUnauthenticated, "the request is not signed by the participant's key", "sessctl join asks to be let in with a login")
	}
	return r, p, nil
}

// guestAsks gives a participant as who asks to stay, and the session as it is to them.
func (s *Service) guestAsks(ctx context.Context, r store.Session, p store.Participant) (who sess.Principal, on policy.Resource, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if who, err = standing(ctx, tx, guestPrincipal(p)); err != nil {
			return err
		}
		on, err = s.sharedResource(ctx, tx, r, p.UserID, guestAction(p))
		return err
	})
	return who, on, err
}

// Guest is the relay's word that a participant's connection, of a generation, is here or gone, and whether they left on
// purpose. For one who should not be here it is sess.ErrEnded or ErrDenied.
func (s *Service) Guest(ctx context.Context, org sess.OrgID, id sess.SessionID, num uint16, gen uint64, here, left bool) error {
	now := s.now()
	us := store.Micros(now)
	var told string
	var gone store.Participant
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		told, gone = "", store.Participant{}
		r, p, err := lockGuest(ctx, tx, org, id, int64(num))
		if err != nil {
			return err
		}
		switch {
		case here && r.State == sess.StateEnded && !tail(*r, now):
			return endedError(*r)
		case here && p.LeftAt != nil:
			return goneError(*p)
		case p.LeftAt != nil, count(p.Redeemed) != gen: // put out, or back already by another connection
			return nil
		case here:
			p.HereAt, p.AwayAt = &us, nil
			if p.JoinedAt != nil {
				return saveGuest(ctx, tx, p)
			}
			p.JoinedAt = &us
			told = guestCame(*p)
			if err := saveGuest(ctx, tx, p); err != nil {
				return err
			}
			return s.guestEvent(ctx, tx, *r, *p, policy.ParticipantJoined, guestPrincipal(*p), "")
		case left:
			told = p.UserName + " left"
			err := s.letGo(ctx, tx, *r, p, leftSelf, guestPrincipal(*p), "")
			gone = *p
			return err
		}
		p.HereAt, p.AwayAt = nil, &us
		return saveGuest(ctx, tx, p)
	})
	if err != nil {
		return fmt.Errorf("note participant: %w", err)
	}
	s.notice(id, told)
	if gone.LeftAt != nil {
		return s.moderatorLeft(ctx, gone)
	}
	return nil
}

func guestCame(p store.Participant) string {
	what := map[sess.JoinRole]string{sess.JoinPeer: "joined, and may type", sess.JoinObserver: "is watching", sess.JoinModerator: "is moderating"}[p.Role]
	return fmt.Sprintf("%s %s (~w lists who is here, ~k puts somebody out)", p.UserName, what)
}

// letGo notes that a participant is in a session no more, with its event.
func (s *Service) letGo(ctx context.Context, tx *store.Tx, r store.Session, p *store.Participant, why string, by sess.Principal, reason string) error {
	us := store.Micros(s.now())
	was := p.JoinedAt != nil
	p.LeftAt, p.LeftReason, p.HereAt, p.AwayAt = &us, why, nil, nil
	if err := saveGuest(ctx, tx, p); err != nil {
		return err
	}
	act := policy.ParticipantLeft
	switch why {
	case leftKicked, leftRevoked:
		act = policy.ParticipantKicked
	case leftRefused, leftNoWord:
		act = policy.ParticipantRefused
	default:
		if !was {
			return nil // never there: nothing was left
		}
	}
	return s.guestEvent(ctx, tx, r, *p, act, by, reason)
}

func (s *Service) guestEvent(ctx context.Context, tx *store.Tx, r store.Session, p store.Participant, act policy.Action, by sess.Principal, reason string) error {
	details := map[string]string{"participant": fmt.Sprint(p.Num), "role": string(p.Role), "user": p.UserName, "owner": r.UserName}
	if p.LeftReason != "" {
		details["why"] = p.LeftReason
	}
	if p.JoinedAt != nil && p.LeftAt != nil {
		details["duration_ms"] = fmt.Sprint((*p.LeftAt - *p.JoinedAt) / 1000)
	}
	if !by.Addr.IsValid() && by.User == p.UserID {
		by.Addr, _ = netip.ParseAddr(p.ClientAddr) // we wrote it
	}
	return s.gate.Event(ctx, tx, gate.Entry{Who: by, Action: act, On: sessionResource(r), Session: r.ID, Reason: reason, Details: details})
}

// notice shows the owner of a session a line, if they are connected.
func (s *Service) notice(id sess.SessionID, text string) {
	if s.relay != nil && text != "" {
		s.relay.Notice(id, text)
	}
}
