package identity

import (
	"context"
	"fmt"
	"strings"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// findMember finds a user of an organisation by e-mail address, machine user's name, or id. Who was deleted is found by id
// only where tombstones are wanted: not here.
func (s *Service) findMember(ctx context.Context, tx *store.Tx, org sess.OrgID, ref string) (store.Member, error) {
	var m store.Member
	var err error
	if sess.ValidID("usr", ref) {
		m, err = tx.GetMember(ctx, org, sess.UserID(ref))
	} else {
		m, err = tx.GetMemberByName(ctx, org, strings.ToLower(strings.TrimSpace(ref)))
	}
	switch {
	case err != nil && !isNotFound(err):
		return m, fmt.Errorf("look for user: %w", err)
	case err != nil, m.DeletedAt != nil:
		return m, sess.New(sess.CodeNotFound, fmt.Sprintf("no user %q in this organisation", clip(ref, maxEmail)), "sessctl user list shows them")
	}
	return m, nil
}

// findUser finds a user for the gate, and keeps it in into.
func (s *Service) findUser(ctx context.Context, org sess.OrgID, ref string, into *store.Member) gate.Find {
	return gate.Find{Type: policy.TypeUser, Name: clip(ref, maxEmail), By: func(tx *gate.Tx) (on policy.Resource, err error) {
		*into, err = s.findMember(ctx, tx.Tx, org, ref)
		return userResource(*into), err
	}}
}

func userResource(m store.Member) policy.Resource {
	return policy.Resource{Org: m.Org, Type: policy.TypeUser, ID: string(m.UserID), Name: m.Name, Owner: m.UserID}
}
