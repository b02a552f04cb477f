package identity

import (
	"context"
	"fmt"
	"slices"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
)

// maxWithText bounds the policies that come along with a test, in bytes together.
const maxWithText = 512 << 10

// TestPolicy holds the rules against a table of expectations: those that are stored, together with policies that are not.
func (s *Service) TestPolicy(ctx context.Context, who sess.Principal, in api.PolicyTestIn) (api.PolicyTestOut, error) {
	out := api.PolicyTestOut{Results: []api.PolicyTestResult{}}
	err := s.gate.Read(ctx, who, policy.PolicyTest, policy.Org(who.Org), func(tx *gate.Tx) error {
		if len(in.Body.Cases) > api.MaxPolicyCases {
			return sess.New(sess.CodeTooLarge, fmt.Sprintf("a test has %d expectations at most", api.MaxPolicyCases), "split it")
		}
		rules, err := s.rulesOfTest(ctx, tx, in.Body.With)
		if err != nil {
			return err
		}
		for _, c := range in.Body.Cases {
			r := s.tryCase(ctx, tx, rules, c)
			if r.OK {
				out.Passed++
			} else {
				out.Failed++
			}
			out.Results = append(out.Results, r)
		}
		return ctx.Err()
	})
	if err != nil {
		return api.PolicyTestOut{}, err
	}
	return out, nil
}

func (s *Service) rulesOfTest(ctx context.Context, tx *gate.Tx, with []api.PolicyText) (*policy.OrgRules, error) {
	if len(with) == 0 {
		return tx.Rules(), nil
	}
	bytes := 0
	texts := make([]policy.Text, len(with))
	for i, w := range with {
		bytes += len(w.Body)
		texts[i] = policy.Text{Name: w.Name, Body: w.Body}
	}
	if bytes > maxWithText {
		return nil, sess.New(sess.CodeTooLarge, fmt.Sprintf("the policies of a test have %d KiB at most", maxWithText>>10), "")
	}
	return tx.RulesWith(ctx, texts)
}

// tryCase decides one expectation. What can't be decided, because there is no such user, say, is a failed one.
func (s *Service) tryCase(ctx context.Context, tx *gate.Tx, rules *policy.OrgRules, c api.PolicyCase) api.PolicyTestResult {
	r := api.PolicyTestResult{Line: c.Line}
	a, err := s.look(ctx, tx, c.Question)
	if err != nil {
		r.Problem = sess.Public(err).Message
		return r
	}
	a.standing.Rules = rules
	d, state := s.judge(tx, a)
	r.Allowed, r.Rules, r.Problem = d.Allowed, append(d.Rules, d.Failed...), state
	r.OK = (c.Expect == "allow") == d.Allowed && (c.Rule == "" || slices.Contains(r.Rules, c.Rule))
	if d.Limit != "" {
		r.Problem = d.Limit
	}
	return r
}
