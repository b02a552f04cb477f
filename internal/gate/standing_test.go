package gate_test

import (
	"errors"
	"testing"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// TestRulesRolledBackAreForgotten: rules that a transaction wrote, compiled and rolled back must not pass for those that
// another one then committed as the same version.
func TestRulesRolledBackAreForgotten(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.SQLite(t))
	put := func(body string, end error) error {
		return h.Do(t.Context(), who(admin), policy.PolicyPut, policy.Org(org), func(tx *gate.Tx) error {
			if err := tx.PutPolicy(t.Context(), store.PutPolicyParams{Org: org, Name: "p", Body: body, UpdatedAt: 1}); err != nil {
				return err
			}
			if _, err := tx.ChangeRules(t.Context(), org); err != nil {
				return err
			}
			if _, err := tx.StandingOf(t.Context(), operator); err != nil { // compiles them
				return err
			}
			return end
		})
	}
	undone := errors.New("undone")
	if err := put(`permit (principal, action, resource);`, undone); !errors.Is(err, undone) {
		t.Fatal(err)
	}
	if err := put(`forbid (principal, action == Action::"session:start", resource is Instance);`, nil); err != nil {
		t.Fatal(err)
	}
	err := h.Do(t.Context(), who(admin), policy.SessionStart, instance(), func(*gate.Tx) error { return nil })
	if !errors.Is(err, sess.ErrDenied) {
		t.Errorf("the policy that was written does not count: %v", err)
	}
}
