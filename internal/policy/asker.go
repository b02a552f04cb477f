package policy

import (
	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/sessctl/sess/internal/sess"
)

// Asker decides many questions of one member about instances, as of one moment: what they are and what they hold is put into
// the words of the schema once. It is for one goroutine.
type Asker struct {
	engine   *Engine
	who      sess.Principal
	grants   []sess.Grant
	cx       Context
	entities types.EntityMap
	org      types.EntityUID
	user     types.EntityUID
	on       Resource
	thing    types.EntityUID
	contexts map[circumstances]types.Record
}

// circumstances are what differs between questions about one instance.
type circumstances struct {
	kind   sess.Kind
	osUser string
}

// Asker makes an Asker of what Decide takes.
func (e *Engine) Asker(who sess.Principal, grants []sess.Grant, cx Context) *Asker {
	a := &Asker{
		engine: e, who: who, grants: grants, cx: cx, entities: types.EntityMap{}, org: scope(string(who.Org)),
		contexts: map[circumstances]types.Record{},
	}
	a.entities[a.org] = types.Entity{UID: a.org}
	u := userEntity(who, grants, a.org, cx)
	a.user = u.UID
	a.entities[u.UID] = u
	return a
}

// On makes an instance the one that is asked about.
func (a *Asker) On(on Resource) {
	delete(a.entities, a.thing)
	parent := a.org
	if on.Project != "" {
		parent = scope(string(on.Project))
		if _, ok := a.entities[parent]; !ok {
			a.entities[parent] = types.Entity{UID: parent, Parents: types.NewEntityUIDSet(a.org)}
		}
	}
	a.on, a.thing = on, types.NewEntityUID(entityType(TypeInstance), types.String(on.ID))
	a.entities[a.thing] = types.Entity{UID: a.thing, Parents: types.NewEntityUIDSet(parent), Attributes: attributes(on, a.cx), Tags: labels(on.Labels)}
}

// Allows is Engine.Allows about the instance, for a session of that kind and as that user where act is to start one.
func (a *Asker) Allows(act Action, kind sess.Kind, osUser string) bool {
	on := a.on
	on.SessionKind, on.OSUser = kind, osUser
	if on.Type != TypeInstance || !NeedsMember(a.who) || a.who.User == "" || a.who.Org == "" || a.who.Org != on.Org || !a.engine.AppliesTo(act, on.Type) {
		return a.engine.Allows(a.who, a.grants, act, on, a.cx)
	}
	c, ok := a.contexts[circumstances{kind, osUser}]
	if !ok {
		c = context(a.who, Resource{SessionKind: kind, OSUser: osUser}, a.cx)
		a.contexts[circumstances{kind, osUser}] = c
	}
	q := question{entities: a.entities, Request: cedar.Request{
		Principal: a.user, Action: types.NewEntityUID(actionType, types.String(act)), Resource: a.thing, Context: c,
	}}
	if _, locked := a.engine.Lock(a.who, a.grants, act, on, a.cx); locked || !a.engine.judge(q, act, a.cx).Allowed {
		return false
	}
	_, why := a.cx.Rules.limits(a.grants, act, on)
	return why == ""
}
