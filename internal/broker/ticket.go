package broker

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	ticketSize = 32  // random bytes of a ticket
	maxTicket  = 128 // bytes of what is looked up as a ticket
)

// minting says for whom a ticket is.
type minting struct {
	side   sess.Side
	key    string // client: the key that must sign the join
	attach bool   // client: the key takes the session over
	by     sess.Principal
}

func forAgent() minting { return minting{side: sess.SideAgent} }

func forClient(by sess.Principal, key string, attach bool) minting {
	return minting{side: sess.SideClient, key: key, attach: attach, by: by}
}

// newTicket gives the text of a fresh ticket.
func newTicket() string {
	var b [ticketSize]byte
	_, _ = rand.Read(b[:]) // never fails: it crashes the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// mint makes a ticket of the next generation and writes its hash. It counts in r; unless r was inserted by the same
// transaction, the caller holds it by lock and saves it.
func (s *Service) mint(ctx context.Context, tx *store.Tx, r *store.Session, m minting) (string, error) {
	token := newTicket()
	minted, node := &r.AgentMinted, s.node // agents join where their control link is
	if m.side == sess.SideClient {
		minted, node = &r.ClientMinted, r.Node
	}
	*minted++
	now := s.now()
	err := tx.InsertTicket(ctx, store.InsertTicketParams{
		Org: r.Org, Hash: sess.HashToken(token), Session: r.ID, Side: m.side, Gen: *minted, Node: node, OwnerKey: m.key,
		Attach: flag(m.attach), UserID: m.by.User, Credential: string(m.by.Credential), CredentialID: m.by.CredentialID,
		CreatedAt: store.Micros(now), ExpiresAt: store.Micros(now.Add(sess.TicketTTL)),
	})
	if err != nil {
		return "", fmt.Errorf("insert ticket: %w", err)
	}
	return token, nil
}
