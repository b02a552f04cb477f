package policy

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sessctl/sess/internal/sess"
)

// limits says which control of the roles that somebody holds on a thing stands against what is asked for; the strictest
// counts. Empty: none does.
func (r *OrgRules) limits(grants []sess.Grant, act Action, on Resource) (rule, why string) {
	if r == nil || act != SessionStart {
		return "", ""
	}
	for _, c := range r.reaching(grants, on) {
		switch who := c.Controls.OSUsers; {
		case len(who) > 0 && on.OSUser == "" && on.SessionKind != "":
			return string(c.Name), "with the role " + string(c.Name) + " name the user on the instance: " + strings.Join(who, " or ")
		case len(who) > 0 && on.OSUser != "" && !slices.Contains(who, on.OSUser):
			return string(c.Name), "the role " + string(c.Name) + " lets you be " + strings.Join(who, " or ") + " there, not " + on.OSUser
		}
		if k := c.Controls.Kinds; len(k) > 0 && on.SessionKind != "" && !slices.Contains(k, on.SessionKind) {
			return string(c.Name), "the role " + string(c.Name) + " is for sessions of the kind " + joinKinds(k) + ", not " + string(on.SessionKind)
		}
	}
	return "", ""
}

// reaching gives the organisation's own roles that somebody holds on a thing and that let them start sessions.
func (r *OrgRules) reaching(grants []sess.Grant, on Resource) []CustomRole {
	var roles []CustomRole
	for _, g := range grants {
		if g.Project != "" && g.Project != on.Project {
			continue
		}
		if c, ok := r.roles[g.Role]; ok && slices.Contains(c.Actions, SessionStart) {
			roles = append(roles, c)
		}
	}
	slices.SortFunc(roles, func(a, b CustomRole) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(roles, func(a, b CustomRole) bool { return a.Name == b.Name })
}

// Controls gives the controls that hold for somebody who starts a session on an instance: the strictest of their roles
// there and of what is set for the organisation. A list that is nil allows everything, an empty one nothing.
//
// Nothing of a session is left off the record because of one role where another one, which says nothing about it, lets them
// start it too: more roles never mean less evidence.
func (r *OrgRules) Controls(grants []sess.Grant, on Resource) sess.Effective {
	var e sess.Effective
	if r == nil {
		return e
	}
	e.Apply(r.defaults, sess.SourceOrg)
	for _, x := range r.reaching(grants, on) {
		e.Apply(x.Controls, sess.SourceRole(x.Name))
	}
	if e.Recording == sess.RecordOff && r.defaults.Recording != sess.RecordOff {
		if silent, ok := r.silent(grants, on); ok {
			e.Recording, e.From[sess.ControlRecording] = sess.RecordOn, sess.SourceRole(silent)
		}
	}
	return e
}

// Reason says that a start on a thing needs a reason which was not given, in words and by which rule; empty: it does not. It
// is apart from decisions, which are made again about what runs.
func (r *OrgRules) Reason(grants []sess.Grant, on Resource) (rule, why string) {
	e := r.Controls(grants, on)
	if !e.ReasonRequired || on.Reason != "" {
		return "", ""
	}
	return e.Rule(sess.ControlReason), "say why you need " + on.Name + ": " + e.Source(sess.ControlReason) + " asks for a reason"
}

// starters are the roles that we ship which let their holders start sessions.
func starters() []sess.Role {
	for _, a := range Actions() {
		if a.Action == SessionStart {
			return a.Roles
		}
	}
	return nil
}

// silent gives a role that lets somebody start sessions on a thing and says nothing about recording.
func (r *OrgRules) silent(grants []sess.Grant, on Resource) (sess.Role, bool) {
	for _, g := range grants {
		if g.Project != "" && g.Project != on.Project {
			continue
		}
		own, ok := r.roles[g.Role]
		switch {
		case ok && slices.Contains(own.Actions, SessionStart) && own.Controls.Recording == "":
			return g.Role, true
		case !ok && slices.Contains(starters(), g.Role):
			return g.Role, true
		}
	}
	return "", false
}

func joinKinds(k []sess.Kind) string {
	s := make([]string, len(k))
	for i := range k {
		s[i] = string(k[i])
	}
	return strings.Join(s, " or ")
}
