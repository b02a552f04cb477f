package broker

import (
	"context"
	"fmt"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// EndMany ends live sessions of a user, on an instance, or all, as far as the principal may end each, as End does: one event
// for each, and that of the request. An answer with a cursor says that there are more.
func (s *Service) EndMany(ctx context.Context, who sess.Principal, in api.EndManyIn) (api.SessionList, error) {
	out := api.SessionList{Items: []api.Session{}}
	e := ending{reason: sess.EndEnded, by: who.Name, message: clean(in.Body.Reason, maxReason), who: who, stop: true, soft: true}
	var over []store.Session
	err := s.gate.Do(ctx, who, policy.SessionEndMany, policy.Org(who.Org), func(tx *gate.Tx) error {
		over = nil
		if chosen := in.Body.User != "" || in.Body.Instance != ""; chosen == in.Body.All {
			return sess.New(sess.CodeInvalid, "say whose sessions to end, on which instance, or all", "")
		}
		tx.Reason(e.message)
		tx.Detail("user", in.Body.User)
		tx.Detail("instance", in.Body.Instance)
		rows, next, err := s.list(ctx, tx, sessionQuery{
			page: api.Page{Limit: maxWithdrawn, After: in.Body.After}, state: "live", user: in.Body.User, instance: in.Body.Instance,
			show: policy.SessionEnd, as: sessionResource,
		})
		if err != nil {
			return err
		}
		out.Next = next
		for _, found := range rows {
			row, err := lock(ctx, tx.Tx, found.Org, found.ID)
			if err != nil {
				return err
			}
			first, err := s.finish(ctx, tx.Tx, row, e)
			if err != nil {
				return err
			}
			if first {
				over = append(over, *row)
			}
		}
		tx.Detail("ended", fmt.Sprint(len(over)))
		return nil
	})
	if err != nil {
		return api.SessionList{}, err
	}
	for _, r := range over {
		s.carryOut(r, e)
		out.Items = append(out.Items, public(r))
	}
	return out, nil
}
