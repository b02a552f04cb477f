package policy_test

import (
	"testing"

	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
)

// Which of the built-in roles hold all of which, on the same project.
func TestCovers(t *testing.T) {
	e := newEngine(t)
	roles := []sess.Role{sess.RoleAdmin, sess.RoleProjectAdmin, sess.RoleOperator, sess.RoleSupport, sess.RoleReadOnly, sess.RoleAuditor}
	every := map[sess.Role]bool{sess.RoleProjectAdmin: true, sess.RoleOperator: true, sess.RoleSupport: true, sess.RoleReadOnly: true, sess.RoleAuditor: true}
	want := map[sess.Role]map[sess.Role]bool{
		sess.RoleProjectAdmin: every,
		sess.RoleOperator:     {sess.RoleOperator: true},
		sess.RoleSupport:      {sess.RoleSupport: true},
		sess.RoleReadOnly:     {sess.RoleReadOnly: true},
		sess.RoleAuditor:      {sess.RoleAuditor: true, sess.RoleReadOnly: true},
	}
	for has := range want {
		for _, gives := range roles {
			missing, ok := e.Covers(person(alice), []sess.Grant{{Role: has, Project: "prj_1"}}, sess.Grant{Role: gives, Project: "prj_1"}, policy.Context{})
			if ok != want[has][gives] || ok == (missing != "") {
				t.Errorf("%s covers %s: %v, missing %q", has, gives, ok, missing)
			}
			for _, elsewhere := range []sess.ProjectID{"prj_2", ""} {
				if _, ok := e.Covers(person(alice), []sess.Grant{{Role: has, Project: "prj_1"}}, sess.Grant{Role: gives, Project: elsewhere}, policy.Context{}); ok {
					t.Errorf("%s on prj_1 covers %s on %q", has, gives, elsewhere)
				}
			}
		}
	}
	for _, gives := range roles {
		if missing, ok := e.Covers(person(alice), []sess.Grant{{Role: sess.RoleAdmin}}, sess.Grant{Role: gives}, policy.Context{}); !ok {
			t.Errorf("an org admin can't give %s: %s", gives, missing)
		}
	}
}

func BenchmarkCovers(b *testing.B) {
	e := newEngine(b)
	for b.Loop() {
		e.Covers(person(alice), []sess.Grant{{Role: sess.RoleAdmin}}, sess.Grant{Role: sess.RoleOperator, Project: "prj_1"}, policy.Context{})
	}
}
