package identity

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
)

// SetOrg changes what is set for the organisation: all that is named, or nothing. It holds at once, for logins there are and
// for what runs.
func (s *Service) SetOrg(ctx context.Context, who sess.Principal, in api.OrgSetIn) (api.Org, error) {
	var out api.Org
	err := s.gate.Do(ctx, who, policy.OrgSet, policy.Org(who.Org), func(tx *gate.Tx) error {
		if err := tx.Lock(ctx, "org settings "+string(who.Org)); err != nil {
			return err
		}
		o, err := tx.GetOrg(ctx, who.Org)
		if err != nil {
			return fmt.Errorf("load organisation: %w", err)
		}
		st, err := sess.ParseSettings(o.Settings)
		if err != nil {
			return err
		}
		if err := changeSettings(tx, &st, in); err != nil {
			return err
		}
		if err := changeRules(ctx, tx); err != nil { // which tells those who look again
			return err
		}
		if _, err := tx.SetOrgSettings(ctx, st.Text(), who.Org); err != nil {
			return fmt.Errorf("save settings: %w", err)
		}
		out, err = viewOrg(ctx, tx)
		return err
	})
	if err != nil {
		return api.Org{}, err
	}
	return out, nil
}

// changeSettings makes the changes in st, and has them in the event.
func changeSettings(tx *gate.Tx, st *sess.Settings, in api.OrgSetIn) error {
	if len(in.Body.Settings) == 0 {
		return sess.New(sess.CodeInvalid, "nothing is said to be set", "sessctl org show lists what there is")
	}
	for _, key := range slices.Sorted(maps.Keys(in.Body.Settings)) {
		k, err := sess.FindSetting(key)
		if err != nil {
			return err
		}
		was, _ := k.Get(*st)
		if err := k.Set(st, strings.TrimSpace(in.Body.Settings[key])); err != nil {
			return err
		}
		is, _ := k.Get(*st)
		tx.Detail(key, is)
		tx.Detail(key+"_was", was)
	}
	if in.Body.Now {
		if _, named := in.Body.Settings[sess.SettingSessionManager]; !named || !st.SessionsOff {
			return sess.New(sess.CodeInvalid, "only the Session Manager can be turned off at once", "sessctl org set session-manager off --now")
		}
		st.SessionsEnd = true
		tx.Detail("now", "yes")
	}
	if err := recording.CheckRecipients(st.Recipients()); err != nil {
		return err
	}
	return st.Check()
}
