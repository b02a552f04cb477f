package policy

import (
	"net/netip"
	"testing"

	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"github.com/sessctl/sess/internal/sess"
)

func checkRequests(t *testing.T, e *Engine) {
	t.Helper()
	check := validate.New(e.words.schema, validate.WithStrict())
	who := sess.Principal{
		Org: "org_a", User: "usr_a", Name: "a@example.com", UserKind: sess.UserLocal, Credential: sess.CredentialLogin,
		Addr: netip.MustParseAddr("fe80::1%eth0"),
	}
	grants := []sess.Grant{{Role: sess.RoleAdmin}, {Role: sess.RoleOperator, Project: "prj_1"}, {Role: sess.RoleReadOnly}, {Role: sess.RoleAuditor}}
	types := []Type{TypeOrg, TypeProject, TypeInstance, TypeSession, TypeRecording, TypeKey, TypeToken, TypeLogin, TypeUser, TypeGroup, TypeGrant, TypeLog}
	n := 0
	for act := range e.words.applies {
		for _, typ := range types {
			on := Resource{Org: "org_a", Project: "prj_1", Type: typ, ID: "x_1", Name: "x", Owner: "usr_b", Instance: "ins_1", SessionKind: sess.KindExec}
			if typ == TypeInstance || typ == TypeSession || typ == TypeRecording {
				on.Labels = map[string]string{"env": "prod"}
			}
			q, ok := e.request(who, grants, act, on, Context{Now: 1})
			if !ok {
				continue
			}
			n++
			if err := check.Request(q.Request); err != nil {
				t.Errorf("%s on %s: %v", act, typ, err)
			}
			if err := check.Entities(q.entities); err != nil {
				t.Errorf("%s on %s: %v", act, typ, err)
			}
		}
	}
	if n < len(Actions()) {
		t.Errorf("only %d requests made", n)
	}
}
