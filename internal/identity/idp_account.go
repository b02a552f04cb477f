package identity

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// viewProvider gives what a provider said of a member at their last login; nil: none sent them.
func viewProvider(ctx context.Context, tx *gate.Tx, m store.Member) (*api.UserProvider, error) {
	if m.Kind != sess.UserIDP {
		return nil, nil
	}
	a, err := tx.GetIDPAccountOfUser(ctx, m.Org, m.UserID)
	if err != nil && isNotFound(err) { // the provider was removed
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load account at the identity provider: %w", err)
	}
	out := &api.UserProvider{
		Name: a.IDPName, Issuer: a.Issuer, Subject: a.Subject, LastLoginAt: store.Time(a.LastLoginAt), Groups: []string{}, Unknown: []string{},
	}
	var said []string
	if err := json.Unmarshal([]byte(a.Said), &said); err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	for _, name := range said {
		switch _, err := tx.FindTeamForIDP(ctx, m.Org, name); {
		case err == nil:
			out.Groups = append(out.Groups, name)
		case isNotFound(err):
			out.Unknown = append(out.Unknown, name)
		default:
			return nil, fmt.Errorf("look for group: %w", err)
		}
	}
	return out, nil
}
