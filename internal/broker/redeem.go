package broker

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

// Redeem is one side's wish to join the relay.
type Redeem struct {
	Ticket    string
	Signature []byte // over wire.JoinMessage: ECDSA P-256 r‖s of its SHA-256 (client), Ed25519 (agent)
	Addr      netip.Addr
	RequestID string
}

// Joined is what the relay needs to know of a session that a side may join.
type Joined struct {
	Org     sess.OrgID
	Session sess.SessionID
	Side    sess.Side
	Kind    sess.Kind
	TTY     bool
	Epoch   uint64
	// ClientGen and AgentGen are the present generations of both sides. A connection of the other side whose generation
	// is not the present one has to go.
	ClientGen, AgentGen uint64
	Participant         uint16        // 0: the owner; of another ClientGen is the generation
	Role                sess.JoinRole // of a participant who is not the owner
	Window              uint64        // bytes of each stream
	Grace               time.Duration
	FreeRun             time.Duration // 0: never
	Moderators          int           // so many have to be there for it to run
	First               bool          // the first join of this side ever
	Takeover            bool          // a client by attach: the one before it is superseded
	Ended               bool          // ended by itself; only output and status are left to fetch

	// For the head of the recording.
	Instance     sess.InstanceID
	InstanceName string
	UserName     string
	OSUser       string
	Command      []string
	CreatedAt    time.Time
	Recording    sess.RecordingMode
	Input        sess.InputMode
	Recipients   []string // that it is encrypted to
}

// claim is a ticket that was looked up and whose signature holds.
type claim struct {
	ticket store.Ticket
	who    sess.Principal
	on     policy.Resource
	guest  store.Participant // of a ticket that is not the owner's or the agent's
}

// Redeem uses up a ticket, once, and says what it is for. In one transaction: the ticket is unused, of a newer generation
// than the last one used, not run out; the session lives (or ended by itself and was not fetched yet); member, credential
// and policy still allow it; a client's session is relayed here. Only an agent's join opens a new epoch and moves the
// session to this node. Only the join of an attach ticket changes the session's key.
//
// Errors are *sess.Error: unauthenticated (no such ticket, wrong signature), expired, ended, superseded, moved, denied.
func (s *Service) Redeem(ctx context.Context, r Redeem) (Joined, error) {
	c, err := s.claim(ctx, r)
	if err != nil {
		return Joined{}, err
	}
	if c.ticket.Participant != 0 {
		return s.redeemGuest(ctx, c)
	}
	var row *store.Session
	var j Joined
	err = s.gate.Do(ctx, c.who, policy.SessionRedeem, c.on, func(tx *gate.Tx) error {
		tx.Detail("side", string(c.ticket.Side))
		if row, err = lock(ctx, tx.Tx, c.ticket.Org, c.ticket.Session); err != nil {
			return err
		}
		before := *row
		if c.ticket.Side == sess.SideClient {
			err = s.redeemClient(ctx, tx, row, c.ticket)
		} else {
			err = s.redeemAgent(ctx, tx, row, c.ticket)
		}
		if err == nil {
			err = s.noteJoin(ctx, tx.Tx, row, c.ticket, r.Addr)
		}
		if err != nil {
			return err
		}
		j = joined(before, *row, c.ticket)
		return save(ctx, tx.Tx, row)
	})
	if err != nil {
		return Joined{}, err
	}
	s.lives.add(*row, s.now())
	if c.ticket.Side == sess.SideClient {
		s.lives.joinedFrom(row.ID, r.Addr)
	}
	return j, nil
}

// claim looks a ticket up and checks the signature, so that only holders of the key get as far as the gate.
func (s *Service) claim(ctx context.Context, r Redeem) (claim, error) {
	refused := sess.New(sess.CodeUnauthenticated, "the ticket is not valid", "ask for a fresh one: they serve once, within 10 minutes")
	var c claim
	if r.Ticket == "" || len(r.Ticket) > maxTicket {
		return c, refused
	}
	hash := sha256.Sum256([]byte(r.Ticket))
	var row store.Session
	var agent store.Instance
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		var err error
		if c.ticket, err = tx.GetTicketByHash(ctx, sess.HashToken(r.Ticket)); err != nil {
			return err
		}
		if row, err = tx.GetSession(ctx, c.ticket.Org, c.ticket.Session); err != nil {
			return err
		}
		if c.ticket.Side == sess.SideAgent {
			agent, err = tx.GetLiveInstance(ctx, row.Org, row.Instance)
			return err
		}
		if c.ticket.Participant != 0 {
			return s.claimGuest(ctx, tx, row, &c)
		}
		c.who, err = standing(ctx, tx, owner(row))
		return err
	})
	if err != nil && !isNotFound(err) {
		return c, fmt.Errorf("look up ticket: %w", err)
	}
	message := wire.JoinMessage(hash[:], row.ID, c.ticket.Side, s.name)
	switch {
	case err != nil:
		s.refuseAnonymous(ctx, c.ticket.Org, r.Addr, policy.SessionRedeem, "")
		return c, refused
	case c.ticket.Side == sess.SideAgent:
		c.who = sess.Principal{Org: row.Org, Name: agent.Name, Instance: agent.ID, Credential: sess.CredentialAgent, CredentialID: string(agent.ID)}
		if !signedByAgent(agent.PublicKey, message, r.Signature) {
			s.refuseAnonymous(ctx, row.Org, r.Addr, policy.SessionRedeem, agent.Name)
			return c, sess.New(sess.CodeUnauthenticated, "the join is not signed by the instance's key", "")
		}
	default:
		if !signedByClient(c.ticket.OwnerKey, message, r.Signature) {
			s.refuseAnonymous(ctx, row.Org, r.Addr, policy.SessionRedeem, row.UserName)
			return c, sess.New(sess.CodeUnauthenticated, "the join is not signed by the session's key", "")
		}
		c.who.Credential, c.who.CredentialID = sess.Credential(c.ticket.Credential), c.ticket.CredentialID
	}
	c.who.Addr, c.who.RequestID = r.Addr, r.RequestID
	if c.ticket.Participant == 0 {
		c.on = sessionResource(row)
	}
	return c, nil
}

func (s *Service) redeemClient(ctx context.Context, tx *gate.Tx, r *store.Session, t store.Ticket) error {
	now := s.now()
	switch {
	case r.State == sess.StateEnded && !tail(*r, now):
		return endedError(*r)
	case t.Attach == 0 && t.OwnerKey != r.OwnerKey:
		return superseded(*r)
	case r.Node != s.node:
		return sess.New(sess.CodeMoved, "the session is on another server now", "ask for a fresh ticket")
	}
	if err := use(ctx, tx, t, r.ClientRedeemed, now); err != nil {
		return err
	}
	if err := s.stillAllowed(ctx, tx, *r, r.CreatedAt); err != nil {
		return err
	}
	if r.State != sess.StateEnded {
		if err := s.connect(ctx, tx, r, 0, t.Gen); err != nil {
			return err
		}
	}
	r.ClientRedeemed = t.Gen
	if t.Attach == 1 {
		r.FormerKeys = addFormer(r.FormerKeys, r.OwnerKey)
		r.OwnerKey, r.Credential, r.CredentialID = t.OwnerKey, sess.Credential(t.Credential), t.CredentialID
	}
	return nil
}

func (s *Service) redeemAgent(ctx context.Context, tx *gate.Tx, r *store.Session, t store.Ticket) error {
	now := s.now()
	if r.State == sess.StateEnded && !tail(*r, now) {
		return endedError(*r)
	}
	if err := use(ctx, tx, t, r.AgentRedeemed, now); err != nil {
		return err
	}
	r.AgentRedeemed = t.Gen
	r.Epoch++
	r.Node = s.node
	return nil
}

// use marks a ticket as used, if it may be: the transaction that does so is the only one that ever does.
func use(ctx context.Context, tx *gate.Tx, t store.Ticket, redeemed int64, now time.Time) error {
	const hint = "ask for a fresh one"
	if store.Micros(now) >= t.ExpiresAt {
		return sess.New(sess.CodeExpired, "the ticket ran out", hint)
	}
	us := store.Micros(now)
	n, err := tx.UseTicket(ctx, t.Org, t.Hash, &us)
	if err != nil {
		return fmt.Errorf("use ticket: %w", err)
	}
	if n == 0 {
		return sess.New(sess.CodeExpired, "the ticket was used before", hint)
	}
	if t.Gen <= redeemed {
		return sess.New(sess.CodeExpired, "a newer ticket was used meanwhile", hint)
	}
	return nil
}

// standing gives the owner of a session as a principal with the kind of its member row. One that is no member any more is
// left for the gate to refuse.
func standing(ctx context.Context, tx *store.Tx, who sess.Principal) (sess.Principal, error) {
	m, err := tx.GetMember(ctx, who.Org, who.User)
	if err != nil && !isNotFound(err) {
		return who, fmt.Errorf("load owner: %w", err)
	}
	who.UserKind = m.Kind
	return who, nil
}

// stillAllowed looks again at what let the session start: the credential of who asks counts, here and now, the instance is
// there and policy would let it start now. A second factor shown for the start goes on counting: its age is the one it had at began,
// or, for 0, the one it has now.
func (s *Service) stillAllowed(ctx context.Context, tx *gate.Tx, r store.Session, began int64) error {
	who := tx.Who()
	o, err := tx.GetSessionOwner(ctx, who.CredentialID, store.Micros(s.now()), r.Org, r.UserID)
	if err != nil {
		return fmt.Errorf("load owner: %w", err)
	}
	switch {
	case who.Credential == sess.CredentialLogin && o.Logins == 0:
		return sess.New(sess.CodeDenied, "the login that this session belongs to was revoked", `run "sessctl login", then "sessctl attach"`)
	case who.Credential == sess.CredentialKey && o.ApiKeys == 0:
		return sess.New(sess.CodeDenied, "the API key that this session belongs to was deleted or ran out", `make a new one with "sessctl key create"`)
	case who.Credential == sess.CredentialKey && !sess.AddressAccepted(o.Addresses, who.Addr):
		return sess.New(sess.CodeDenied, "the API key that this session belongs to is not accepted from your address "+who.Addr.String(),
			"it is limited to the addresses that sessctl key list shows")
	}
	inst, err := tx.GetLiveInstance(ctx, r.Org, r.Instance)
	if isNotFound(err) {
		return sess.New(sess.CodeDenied, r.InstanceName+" was removed", "")
	} else if err != nil {
		return fmt.Errorf("load instance: %w", err)
	}
	on, err := instanceResource(ctx, tx.Tx, inst)
	if err != nil {
		return err
	}
	on.SessionKind, on.OSUser, on.Reason, on.Began = r.Kind, r.OSUser, r.Reason, began
	if ok, wants := tx.Still(policy.SessionStart, on); !ok {
		if wants != nil && began == 0 {
			return wants
		}
		return sess.New(sess.CodeDenied, "you may not use "+inst.Name+" any more", "ask an admin of the organisation")
	}
	return nil
}

func joined(before, r store.Session, t store.Ticket) Joined {
	j := Joined{
		Org: r.Org, Session: r.ID, Side: t.Side, Kind: r.Kind, TTY: r.Tty == 1, Epoch: count(r.Epoch),
		ClientGen: count(r.ClientRedeemed), AgentGen: count(r.AgentRedeemed), Window: sess.WindowBulk, Grace: grace(r),
		FreeRun: sess.Kinds[r.Kind].FreeRun, Takeover: t.Attach == 1, Ended: r.State == sess.StateEnded,
		Instance: r.Instance, InstanceName: r.InstanceName, UserName: r.UserName, OSUser: r.OSUser, Command: command(r),
		CreatedAt: store.Time(r.CreatedAt),
	}
	c := controls(r)
	j.Recording, j.Input, j.Recipients = c.RecordingMode(), c.InputMode(), c.Recipients
	j.Moderators = int(controls(r).Moderators)
	if j.TTY {
		j.Window = sess.WindowTerminal
	}
	j.First = before.ClientRedeemed == 0
	if t.Side == sess.SideAgent {
		j.First = before.AgentRedeemed == 0
	}
	return j
}

// count gives a column that counts, which is never negative.
func count(n int64) uint64 { return uint64(max(0, n)) }

// maxFormer bounds how many replaced keys of a session are remembered.
const maxFormer = 16

func addFormer(keys, key string) string {
	list := append(strings.Fields(keys), key)
	return strings.Join(list[max(0, len(list)-maxFormer):], " ")
}

func superseded(r store.Session) error {
	return sess.New(sess.CodeSuperseded, "another client took the session over", "sessctl attach "+string(r.ID)+" takes it back")
}

// refuseAnonymous records that somebody who proved nothing was turned away.
func (s *Service) refuseAnonymous(ctx context.Context, org sess.OrgID, addr netip.Addr, act policy.Action, name string) {
	s.gate.RefusedAnonymous(ctx, gate.Refusal{Org: org, Addr: addr, Action: act, Code: sess.CodeUnauthenticated, Name: name})
}

// ErrFenced says that another node, or a later join of the agent, has the session now: what was to be written about it
// was not. It matches sess.ErrMoved.
var ErrFenced error = sess.New(sess.CodeMoved, "the session lives elsewhere now", "ask for a fresh ticket")

// fenced checks that an epoch on this node is the present one of the session.
func (s *Service) fenced(r *store.Session, epoch uint64) error {
	if count(r.Epoch) != epoch || r.Node != s.node {
		return ErrFenced
	}
	return nil
}
