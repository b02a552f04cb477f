package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
)

func TestStrictestControlsWin(t *testing.T) {
	e := newEngine(t)
	start := []policy.Action{policy.SessionStart}
	rules := compile(t, e, policy.Source{
		Defaults: sess.Controls{IdleSeconds: 900, Sessions: 20, Input: sess.InputMasked},
		Roles: []policy.CustomRole{
			{Name: "long", Actions: start, Controls: sess.Controls{IdleSeconds: 3600, MaxSeconds: 60, GraceSeconds: 7200, Sessions: 3, Recording: sess.RecordOff, Kinds: []sess.Kind{sess.KindExec}}},
			{Name: "short", Actions: start, Controls: sess.Controls{IdleSeconds: 300, GraceSeconds: 30, EndWithLogin: true, NoLinks: true, Moderators: 1, OSUsers: []string{"deploy"}, Recording: sess.RecordStrict, Input: sess.InputOff}},
			{Name: "silent", Actions: start, Controls: sess.Controls{ReasonRequired: true, Connections: 2}},
			{Name: "off", Actions: start, Controls: sess.Controls{Recording: sess.RecordOff}},
			{Name: "looks", Actions: []policy.Action{policy.SessionList}, Controls: sess.Controls{IdleSeconds: 1}},
		},
	})
	const org, long, short, silent, off = sess.SourceOrg, "role/long", "role/short", "role/silent", "role/off"
	for _, c := range []struct {
		name  string
		roles []sess.Role
		want  sess.Effective
	}{
		{"the organisation's alone", []sess.Role{sess.RoleOperator}, sess.Effective{
			Controls: sess.Controls{IdleSeconds: 900, Sessions: 20, Input: sess.InputMasked},
			From:     map[sess.Control]string{sess.ControlIdle: org, sess.ControlSessions: org, sess.ControlInput: org},
		}},
		{"a role's, where it is stricter", []sess.Role{"long"}, sess.Effective{
			Controls: sess.Controls{IdleSeconds: 900, MaxSeconds: 60, GraceSeconds: 7200, Sessions: 3, Recording: sess.RecordOff, Input: sess.InputMasked, Kinds: []sess.Kind{sess.KindExec}},
			From: map[sess.Control]string{
				sess.ControlIdle: org, sess.ControlMax: long, sess.ControlGrace: long, sess.ControlSessions: long,
				sess.ControlRecording: long, sess.ControlInput: org, sess.ControlKinds: long,
			},
		}},
		{"of several the strictest", []sess.Role{"long", "short", "silent"}, sess.Effective{
			Controls: sess.Controls{
				IdleSeconds: 300, MaxSeconds: 60, GraceSeconds: 30, Sessions: 3, Connections: 2, EndWithLogin: true, NoLinks: true, Moderators: 1,
				ReasonRequired: true, Recording: sess.RecordStrict, Input: sess.InputOff, OSUsers: []string{"deploy"}, Kinds: []sess.Kind{sess.KindExec},
			},
			From: map[sess.Control]string{
				sess.ControlIdle: short, sess.ControlMax: long, sess.ControlGrace: short, sess.ControlSessions: long, sess.ControlConnections: silent,
				sess.ControlEndWithLogin: short, sess.ControlNoLinks: short, sess.ControlModerators: short, sess.ControlReason: silent,
				sess.ControlRecording: short, sess.ControlInput: short, sess.ControlOSUsers: short, sess.ControlKinds: long,
			},
		}},
		{"a role that lets nobody start limits nothing", []sess.Role{"looks"}, sess.Effective{
			Controls: sess.Controls{IdleSeconds: 900, Sessions: 20, Input: sess.InputMasked},
			From:     map[sess.Control]string{sess.ControlIdle: org, sess.ControlSessions: org, sess.ControlInput: org},
		}},
	} {
		var grants []sess.Grant
		for _, r := range c.roles {
			grants = append(grants, sess.Grant{Role: r})
		}
		if d := cmp.Diff(c.want, rules.Controls(grants, web1())); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
	// More roles never mean less evidence.
	for _, c := range []struct {
		grants []sess.Grant
		want   sess.RecordingMode
		from   string
	}{
		{[]sess.Grant{{Role: "off"}}, sess.RecordOff, off},
		{[]sess.Grant{{Role: "off"}, {Role: sess.RoleReadOnly}}, sess.RecordOff, off},
		{[]sess.Grant{{Role: "off"}, {Role: sess.RoleOperator}}, sess.RecordOn, "role/operator"},
		{[]sess.Grant{{Role: "off"}, {Role: sess.RoleOperator, Project: "prj_elsewhere"}}, sess.RecordOff, off},
		{[]sess.Grant{{Role: "off"}, {Role: "silent"}}, sess.RecordOn, silent},
	} {
		got := rules.Controls(c.grants, web1())
		if got.Recording != c.want || got.From[sess.ControlRecording] != c.from {
			t.Errorf("%v: recording %q from %q, want %q from %q", c.grants, got.Recording, got.From[sess.ControlRecording], c.want, c.from)
		}
	}
}

func TestControlsAreChecked(t *testing.T) {
	e := newEngine(t)
	for _, c := range []sess.Controls{
		{IdleSeconds: -1},
		{IdleSeconds: 31 * 86400},
		{GraceSeconds: 86401},
		{MaxSeconds: 1 << 40},
		{Sessions: -1},
		{Connections: 10001},
		{Moderators: 17},
		{Recording: "sometimes"},
		{Input: "loud"},
		{OSUsers: []string{"a b"}},
		{Kinds: []sess.Kind{"dance"}},
	} {
		r := policy.CustomRole{Name: "r", Actions: []policy.Action{policy.SessionStart}, Controls: c}
		if err := e.CheckRole(&r); err == nil {
			t.Errorf("taken: %+v", c)
		}
	}
}
