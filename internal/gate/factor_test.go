package gate_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store/storetest"
)

// A login that has to show or enrol a second factor first may say who it is and end, and nothing else; it is told what
// would help. One that may do nothing anyway is not sent for a code.
func TestStageIsEnforced(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.SQLite(t))
	ask := func(p sess.Principal, act policy.Action, on policy.Resource) error {
		return h.Read(t.Context(), p, act, on, func(*gate.Tx) error { return nil })
	}
	for stage, want := range map[sess.Stage]error{sess.StageNone: nil, sess.StageMFA: sess.ErrMFA, sess.StagePassword: sess.ErrDenied} {
		p := who(admin)
		p.Stage = stage
		if err := ask(p, policy.SessionStart, instance()); !errors.Is(err, want) {
			t.Errorf("stage %q: start = %v, want %v", stage, err, want)
		}
		if err := ask(p, policy.Whoami, policy.Org(org)); err != nil {
			t.Errorf("stage %q: whoami = %v", stage, err)
		}
		if err := ask(p, policy.Logout, policy.Resource{Org: org, Type: policy.TypeLogin, Owner: admin}); err != nil {
			t.Errorf("stage %q: logout = %v", stage, err)
		}
	}
	p := who(nobody)
	p.Stage = sess.StageMFA
	if err := ask(p, policy.SessionStart, instance()); !errors.Is(err, sess.ErrDenied) {
		t.Errorf("somebody without a role, whom no code helps: %v", err)
	}
	p = who(admin)
	p.Stage, p.Credential = sess.StageMFA, sess.CredentialKey
	err := ask(p, policy.SessionStart, instance())
	if e := sess.Public(err); e.Code != sess.CodeMFA || !strings.Contains(e.Hint, "mfa enrol") {
		t.Errorf("a person's key: %v", err)
	}
	p = who(admin)
	p.MFAAt = time.Now()
	p.Stage = sess.StagePassword
	if err := ask(p, policy.SessionStart, instance()); !errors.Is(err, sess.ErrDenied) {
		t.Errorf("a factor does not stand for a changed password: %v", err)
	}
}
