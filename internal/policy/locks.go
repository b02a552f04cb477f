package policy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sessctl/sess/internal/sess"
)

// lockPrefix begins the ids by which decisions and audit events name locks.
const lockPrefix = "lock/"

// Lock is a lock as decisions know it. It bars whatever any rule allows.
type Lock struct {
	ID      sess.LockID
	Kind    sess.LockKind
	Target  string // the id of what is locked; of a group its name; of an address the network
	Name    string // of what is locked, for people
	Reason  string
	Expires int64 // microseconds since 1970, from when it counts no more; 0: until it is removed
	Box     bool  // put by the box's owner: nobody in the organisation lifts it
}

// Rule gives the id by which decisions name l.
func (l Lock) Rule() string { return lockPrefix + string(l.ID) }

// lasts reports whether l counts at a time.
func (l Lock) lasts(now int64) bool { return l.Expires == 0 || now < l.Expires }

// Bars reports whether l is on who, a member of these groups: by themselves, a group, the key they use or the address they
// come from. A lock on an instance, a project or the organisation is on nobody.
func (l Lock) Bars(who sess.Principal, groups []string) bool {
	switch l.Kind {
	case sess.LockUser:
		return l.Target == string(who.User)
	case sess.LockGroup:
		return slices.Contains(groups, l.Target)
	case sess.LockKey:
		return who.Credential == sess.CredentialKey && l.Target == who.CredentialID
	case sess.LockAddress:
		net, err := netip.ParsePrefix(l.Target)
		return err == nil && net.Contains(who.Addr.Unmap().WithZone(""))
	case sess.LockInstance, sess.LockProject, sess.LockOrg:
	}
	return false
}

// locks are the locks of an organisation, sorted by what they are found by.
type locks struct {
	at     map[lockPlace][]Lock
	nets   []lockedNet
	orgs   []Lock
	groups bool
}

type lockPlace struct {
	kind   sess.LockKind
	target string
}

type lockedNet struct {
	net  netip.Prefix
	lock Lock
}

func newLocks(list []Lock) *locks {
	if len(list) == 0 {
		return nil
	}
	ls := &locks{at: map[lockPlace][]Lock{}}
	for _, l := range list {
		switch l.Kind {
		case sess.LockOrg:
			ls.orgs = append(ls.orgs, l)
		case sess.LockAddress:
			if net, err := netip.ParsePrefix(l.Target); err == nil { // it is checked when the lock is made
				ls.nets = append(ls.nets, lockedNet{net, l})
			}
		default:
			ls.groups = ls.groups || l.Kind == sess.LockGroup
			p := lockPlace{l.Kind, l.Target}
			ls.at[p] = append(ls.at[p], l)
		}
	}
	return ls
}

// on gives a lock on a thing that counts now.
func (ls *locks) on(kind sess.LockKind, target string, now int64) (Lock, bool) {
	if target == "" {
		return Lock{}, false
	}
	return lasting(ls.at[lockPlace{kind, target}], now)
}

func lasting(list []Lock, now int64) (Lock, bool) {
	for _, l := range list {
		if l.lasts(now) {
			return l, true
		}
	}
	return Lock{}, false
}

// who gives a lock that bars a member of these groups.
func (ls *locks) who(who sess.Principal, groups []string, now int64) (Lock, bool) {
	if l, ok := ls.on(sess.LockUser, string(who.User), now); ok {
		return l, true
	}
	if who.Credential == sess.CredentialKey {
		if l, ok := ls.on(sess.LockKey, who.CredentialID, now); ok {
			return l, true
		}
	}
	for _, g := range groups {
		if l, ok := ls.on(sess.LockGroup, g, now); ok {
			return l, true
		}
	}
	return ls.address(who.Addr, now)
}

func (ls *locks) address(a netip.Addr, now int64) (Lock, bool) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return Lock{}, false
	}
	for _, n := range ls.nets {
		if n.net.Contains(a) && n.lock.lasts(now) {
			return n.lock, true
		}
	}
	return Lock{}, false
}

// thing gives a lock on the instance that something is or runs on, or on its project.
func (ls *locks) thing(on Resource, now int64) (Lock, bool) {
	instance := string(on.Instance)
	if on.Type == TypeInstance && on.ID != "" {
		instance = on.ID
	}
	if l, ok := ls.on(sess.LockInstance, instance, now); ok {
		return l, true
	}
	return ls.on(sess.LockProject, string(on.Project), now)
}

// worksOn reports whether act works with an instance, or in a session, so that a lock there bars it. What is left is what one
// does about a locked thing: to see it, to end what runs there, to put it right.
func worksOn(act Action, t Type) bool {
	switch t {
	case TypeInstance:
		return !slices.Contains([]Action{InstanceShow, InstanceChange, InstanceRemove, InstanceConnect}, act)
	case TypeSession:
		return !slices.Contains([]Action{SessionShow, SessionEnd}, act)
	default:
		return false
	}
}

// Lock gives the lock that keeps who from doing act to on now, whatever the rules allow; false: none does. A lock that the
// organisation put on itself leaves those in who may lift it, to see and to put right, but nobody works then.
func (e *Engine) Lock(who sess.Principal, grants []sess.Grant, act Action, on Resource, cx Context) (Lock, bool) {
	if cx.Rules == nil || cx.Rules.locks == nil {
		return Lock{}, false
	}
	ls := cx.Rules.locks
	if l, ok := ls.who(who, cx.Groups, cx.Now); ok {
		return l, true
	}
	if worksOn(act, on.Type) {
		if l, ok := ls.thing(on, cx.Now); ok {
			return l, true
		}
	}
	l, ok := lasting(ls.orgs, cx.Now)
	for _, x := range ls.orgs {
		if x.Box && x.lasts(cx.Now) {
			return x, true
		}
	}
	if !ok || !worksOn(act, on.Type) && e.mayLift(who, grants, cx) {
		return Lock{}, false
	}
	return l, true
}

// mayLift reports whether who may lift the locks of the whole organisation, as far as roles go.
func (e *Engine) mayLift(who sess.Principal, grants []sess.Grant, cx Context) bool {
	q, ok := e.request(who, grants, LockRemove, Resource{Org: who.Org, Type: TypeLock}, cx)
	return ok && e.judge(q, LockRemove, cx).Allowed
}

// LockOfAddress gives the lock on an address, for what runs from there.
func (r *OrgRules) LockOfAddress(a netip.Addr, now int64) (Lock, bool) {
	if r == nil || r.locks == nil {
		return Lock{}, false
	}
	return r.locks.address(a, now)
}

// LockOfThing gives the lock on an instance, its project or the organisation, for what is not decided about by a member.
func (r *OrgRules) LockOfThing(on Resource, now int64) (Lock, bool) {
	if r == nil || r.locks == nil {
		return Lock{}, false
	}
	if l, ok := r.locks.thing(on, now); ok {
		return l, true
	}
	return lasting(r.locks.orgs, now)
}

// HasLocks reports whether anything is locked, or was when the rules were made.
func (r *OrgRules) HasLocks() bool { return r != nil && r.locks != nil }

// lockStatement gives the lock of a decision as a statement, for people.
func (r *OrgRules) lockStatement(id string) (Statement, bool) {
	if r == nil || r.locks == nil || !strings.HasPrefix(id, lockPrefix) {
		return Statement{}, false
	}
	all := slices.Clone(r.locks.orgs)
	for _, n := range r.locks.nets {
		all = append(all, n.lock)
	}
	for _, l := range r.locks.at {
		all = append(all, l...)
	}
	for _, l := range all {
		if l.Rule() == id {
			return Statement{Rule: id, Text: strings.TrimSpace(string(l.Kind) + " " + l.Name + ": " + l.Reason), Forbid: true}, true
		}
	}
	return Statement{}, false
}
