package policy_test

import (
	"net/netip"
	"testing"

	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
)

// What each lock bars, and what it leaves.
func TestLocks(t *testing.T) {
	e := newEngine(t)
	someone := person(alice)
	someone.Addr = netip.MustParseAddr("::ffff:203.0.113.9")
	key := someone
	key.Credential, key.CredentialID = sess.CredentialKey, "key_1"
	operator := []sess.Grant{{Role: sess.RoleOperator}}
	admin := []sess.Grant{{Role: sess.RoleAdmin}}
	instance := policy.Resource{Org: org, Project: "prj_1", Type: policy.TypeInstance, ID: "ins_1", Instance: "ins_1", SessionKind: sess.KindShell}
	session := policy.Resource{Org: org, Project: "prj_1", Type: policy.TypeSession, ID: "ses_1", Instance: "ins_1", Owner: alice}
	lock := policy.Resource{Org: org, Type: policy.TypeLock, ID: "lck_1"}
	for name, c := range map[string]struct {
		lock    policy.Lock
		who     sess.Principal
		grants  []sess.Grant
		groups  []string
		act     policy.Action
		on      policy.Resource
		now     int64
		allowed bool
	}{
		"user":                     {lock: policy.Lock{Kind: sess.LockUser, Target: string(alice)}, who: someone, grants: admin, act: policy.Whoami, on: policy.Org(org)},
		"another user":             {lock: policy.Lock{Kind: sess.LockUser, Target: string(bob)}, who: someone, grants: operator, act: policy.SessionStart, on: instance, allowed: true},
		"group":                    {lock: policy.Lock{Kind: sess.LockGroup, Target: "ops"}, who: someone, grants: operator, groups: []string{"dba", "ops"}, act: policy.SessionStart, on: instance},
		"another group":            {lock: policy.Lock{Kind: sess.LockGroup, Target: "ops"}, who: someone, grants: operator, groups: []string{"dba"}, act: policy.SessionStart, on: instance, allowed: true},
		"key":                      {lock: policy.Lock{Kind: sess.LockKey, Target: "key_1"}, who: key, grants: operator, act: policy.Whoami, on: policy.Org(org)},
		"login beside a key":       {lock: policy.Lock{Kind: sess.LockKey, Target: "key_1"}, who: someone, grants: operator, act: policy.Whoami, on: policy.Org(org), allowed: true},
		"address":                  {lock: policy.Lock{Kind: sess.LockAddress, Target: "203.0.113.0/24"}, who: someone, grants: operator, act: policy.Whoami, on: policy.Org(org)},
		"another address":          {lock: policy.Lock{Kind: sess.LockAddress, Target: "198.51.100.0/24"}, who: someone, grants: operator, act: policy.Whoami, on: policy.Org(org), allowed: true},
		"instance, start":          {lock: policy.Lock{Kind: sess.LockInstance, Target: "ins_1"}, who: someone, grants: admin, act: policy.SessionStart, on: instance},
		"instance, resume":         {lock: policy.Lock{Kind: sess.LockInstance, Target: "ins_1"}, who: someone, grants: admin, act: policy.SessionResume, on: session},
		"instance, move":           {lock: policy.Lock{Kind: sess.LockInstance, Target: "ins_1"}, who: someone, grants: admin, act: policy.InstanceMove, on: instance},
		"instance, see":            {lock: policy.Lock{Kind: sess.LockInstance, Target: "ins_1"}, who: someone, grants: admin, act: policy.InstanceShow, on: instance, allowed: true},
		"instance, end":            {lock: policy.Lock{Kind: sess.LockInstance, Target: "ins_1"}, who: someone, grants: admin, act: policy.SessionEnd, on: session, allowed: true},
		"project":                  {lock: policy.Lock{Kind: sess.LockProject, Target: "prj_1"}, who: someone, grants: operator, act: policy.SessionAttach, on: session},
		"another project":          {lock: policy.Lock{Kind: sess.LockProject, Target: "prj_2"}, who: someone, grants: operator, act: policy.SessionAttach, on: session, allowed: true},
		"org, operator":            {lock: policy.Lock{Kind: sess.LockOrg, Target: string(org)}, who: someone, grants: operator, act: policy.Whoami, on: policy.Org(org)},
		"org, admin sees":          {lock: policy.Lock{Kind: sess.LockOrg, Target: string(org)}, who: someone, grants: admin, act: policy.LockRemove, on: lock, allowed: true},
		"org, admin works":         {lock: policy.Lock{Kind: sess.LockOrg, Target: string(org)}, who: someone, grants: admin, act: policy.SessionStart, on: instance},
		"org by the box's owner":   {lock: policy.Lock{Kind: sess.LockOrg, Target: string(org), Box: true}, who: someone, grants: admin, act: policy.LockRemove, on: lock},
		"a moment before its end":  {lock: policy.Lock{Kind: sess.LockUser, Target: string(alice), Expires: 100}, who: someone, grants: admin, act: policy.Whoami, on: policy.Org(org), now: 99},
		"from its end on":          {lock: policy.Lock{Kind: sess.LockUser, Target: string(alice), Expires: 100}, who: someone, grants: admin, act: policy.Whoami, on: policy.Org(org), now: 100, allowed: true},
		"what can't be read (net)": {lock: policy.Lock{Kind: sess.LockAddress, Target: "x"}, who: someone, grants: operator, act: policy.Whoami, on: policy.Org(org), allowed: true},
	} {
		c.lock.ID = "lck_1"
		cx := policy.Context{Now: c.now, Groups: c.groups, Rules: e.Compile(policy.Source{Version: 1, Locks: []policy.Lock{c.lock}}, nil)}
		d := e.Decide(c.who, c.grants, c.act, c.on, cx)
		if d.Allowed != c.allowed || (d.Lock != nil) == c.allowed {
			t.Errorf("%s: %+v, want %v", name, d, c.allowed)
		}
		if got := e.Allows(c.who, c.grants, c.act, c.on, cx); got != c.allowed {
			t.Errorf("%s: Allows is %v", name, got)
		}
		if d.Lock == nil {
			continue
		}
		if st, ok := e.Statement(cx.Rules, d.Rules[0]); !ok || !st.Forbid {
			t.Errorf("%s: no statement of %s", name, d.Rules[0])
		}
	}
}
