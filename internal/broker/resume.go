package broker

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

// nonceSize is the size of a resume request's nonce in bytes.
const nonceSize = 16

// Resume gives a fresh ticket for a signature of the session's key: no login is needed, but owner, credential and policy
// are looked at again. Of from only the address and the request id count.
//
// It fails with sess.ErrEnded (and how it ended) when there is nothing left to fetch, ErrSuperseded when another client
// took the session over, ErrUnauthenticated for a signature that does not fit, ErrDenied when it is not allowed any more.
func (s *Service) Resume(ctx context.Context, from sess.Principal, in api.ResumeIn) (api.Ticket, error) {
	if in.Body.Participant != 0 {
		return s.resumeGuest(ctx, from, in)
	}
	known, err := s.prove(ctx, from, in)
	if err != nil {
		return api.Ticket{}, err
	}
	who, err := s.ownerOf(ctx, known)
	if err != nil {
		return api.Ticket{}, err
	}
	who.Addr, who.RequestID = from.Addr, from.RequestID
	var out api.Ticket
	err = s.gate.Do(ctx, who, policy.SessionResume, sessionResource(known), func(tx *gate.Tx) error {
		row, err := lock(ctx, tx.Tx, known.Org, known.ID)
		if err != nil {
			return err
		}
		now := s.now()
		nonce := base64.RawURLEncoding.EncodeToString(in.Body.Nonce)
		n, err := tx.InsertResumeNonce(ctx, row.Org, row.ID, nonce, store.Micros(now))
		switch {
		case err != nil:
			return fmt.Errorf("keep nonce: %w", err)
		case n == 0:
			return sess.New(sess.CodeUnauthenticated, "this request was sent before", "make a new nonce for each")
		case row.OwnerKey != known.OwnerKey: // taken over since the signature was checked
			return superseded(*row)
		case row.State == sess.StateEnded && !s.fetchable(*row, now):
			return endedError(*row)
		}
		if err := s.stillAllowed(ctx, tx, *row, row.CreatedAt); err != nil {
			return err
		}
		out, err = s.issue(ctx, tx.Tx, row, forClient(who, row.OwnerKey, false))
		return err
	})
	if err != nil {
		return api.Ticket{}, err
	}
	return out, nil
}

// issue mints a client's ticket, saves the row and makes the answer.
func (s *Service) issue(ctx context.Context, tx *store.Tx, row *store.Session, m minting) (api.Ticket, error) {
	token, err := s.mint(ctx, tx, row, m)
	if err != nil {
		return api.Ticket{}, err
	}
	if err := save(ctx, tx, row); err != nil {
		return api.Ticket{}, err
	}
	url, err := s.streamURL(ctx, tx, row.Node)
	if err != nil {
		return api.Ticket{}, err
	}
	t := s.ticket(*row, token, url)
	if row.State == sess.StateEnded {
		t.Exit = exitOf(*row)
	}
	return t, nil
}

// prove finds the session and checks the signature of a resume request against its key.
func (s *Service) prove(ctx context.Context, from sess.Principal, in api.ResumeIn) (store.Session, error) {
	var row store.Session
	if len(in.Body.Nonce) != nonceSize {
		return row, sess.New(sess.CodeInvalid, fmt.Sprintf("the nonce has %d bytes, not %d", len(in.Body.Nonce), nonceSize), "")
	}
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		var err error
		row, err = tx.GetSessionByID(ctx, sess.SessionID(in.Session))
		return err
	})
	switch {
	case isNotFound(err):
		s.refuseAnonymous(ctx, "", from.Addr, policy.SessionResume, "")
		return row, notSigned() // whether there is such a session is its owner's to know
	case err != nil:
		return row, fmt.Errorf("look up session: %w", err)
	}
	message := wire.SignedMessage(wire.PurposeResume, []byte(row.ID), in.Body.Nonce, []byte(s.name))
	if signedByClient(row.OwnerKey, message, in.Body.Signature) {
		return row, nil
	}
	for _, key := range strings.Fields(row.FormerKeys) {
		if signedByClient(key, message, in.Body.Signature) {
			return row, superseded(row)
		}
	}
	s.refuseAnonymous(ctx, row.Org, from.Addr, policy.SessionResume, row.UserName)
	return row, notSigned()
}

func notSigned() error {
	return sess.New(sess.CodeUnauthenticated, "the request is not signed by the session's key", "sessctl attach takes a session over with a login")
}

// ownerOf gives the owner of a session as the principal of a request that only the session's key proves.
func (s *Service) ownerOf(ctx context.Context, r store.Session) (who sess.Principal, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		who, err = standing(ctx, tx, owner(r))
		return err
	})
	return who, err
}

// fetchable reports whether the output and status of an ended session can still be fetched: from an agent that has it,
// or that may yet come back with it.
func (s *Service) fetchable(r store.Session, now time.Time) bool {
	if !tail(r, now) {
		return false
	}
	l := s.links.get(r.Instance)
	return l == nil || l.holds(r.ID) || s.lives.agentHere(r.ID)
}
