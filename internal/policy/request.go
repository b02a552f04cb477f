package policy

import (
	"net/netip"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/sessctl/sess/internal/sess"
)

// entityTypes are the types of the schema that things have.
func entityType(t Type) types.EntityType {
	switch t {
	case TypeOrg:
		return "Org"
	case TypeInstance:
		return "Instance"
	case TypeSession:
		return "Session"
	case TypeRecording:
		return "Recording"
	case TypeKey:
		return "Key"
	case TypeToken:
		return "Token"
	case TypeLogin:
		return "Login"
	case TypeLog:
		return "Log"
	case TypeProject:
		return "Project"
	case TypeUser:
		return "Member"
	case TypeGroup:
		return "Team"
	case TypeGrant:
		return "Grant"
	case TypeIDP:
		return "Provider"
	case TypeLock:
		return "Lock"
	case TypeSink: // nothing is decided about one by itself
	}
	return ""
}

// EntityType gives what policies call things of a type; empty: they can't speak of them.
func EntityType(t Type) string { return string(entityType(t)) }

// question is a request to Cedar and the entities it speaks of.
type question struct {
	cedar.Request
	entities types.EntityMap
}

// request puts a question in the words of the schema; false when the schema knows no such action on such a thing, which
// nothing can allow then.
func (e *Engine) request(who sess.Principal, grants []sess.Grant, act Action, on Resource, cx Context) (question, bool) {
	typ := entityType(on.Type)
	if typ == "" || who.User == "" || who.Org == "" || !e.words.applies[act][typ] {
		return question{}, false
	}
	org := scope(string(on.Org))
	parent := org
	entities := make(types.EntityMap, 5+len(cx.Groups))
	entities[org] = types.Entity{UID: org}
	if on.Project != "" {
		parent = scope(string(on.Project))
		entities[parent] = types.Entity{UID: parent, Parents: types.NewEntityUIDSet(org)}
	}
	user := userEntity(who, grants, org, cx)
	entities[user.UID] = user
	// The id of a thing that does not exist yet is empty; no rule looks at it.
	thing := types.NewEntityUID(typ, types.String(on.ID))
	entities[thing] = types.Entity{UID: thing, Parents: types.NewEntityUIDSet(parent), Attributes: attributes(on, cx), Tags: labels(on.Labels)}
	return question{
		Request: cedar.Request{
			Principal: user.UID, Action: types.NewEntityUID(actionType, types.String(act)), Resource: thing, Context: context(who, on, cx),
		},
		entities: entities,
	}, true
}

func scope(id string) types.EntityUID { return types.NewEntityUID("Scope", types.String(id)) }

func groupUID(name string) types.EntityUID { return types.NewEntityUID("Group", types.String(name)) }

func userUID(id sess.UserID) types.EntityUID { return types.NewEntityUID("User", types.String(id)) }

func userEntity(who sess.Principal, grants []sess.Grant, org types.EntityUID, cx Context) types.Entity {
	var own map[sess.Role][]types.Value // an organisation's own roles
	var admin, projectAdmin, operator, support, reader, auditor []types.Value
	for _, g := range grants {
		at := org
		if g.Project != "" {
			at = scope(string(g.Project))
		}
		switch g.Role {
		case sess.RoleAdmin:
			admin = append(admin, at)
		case sess.RoleProjectAdmin:
			projectAdmin = append(projectAdmin, at)
		case sess.RoleSupport:
			support = append(support, at)
		case sess.RoleOperator:
			operator = append(operator, at)
		case sess.RoleReadOnly:
			reader = append(reader, at)
		case sess.RoleAuditor:
			auditor = append(auditor, at)
		default: // one that there is no rule of gives nothing
			if own == nil {
				own = map[sess.Role][]types.Value{}
			}
			own[g.Role] = append(own[g.Role], at)
		}
	}
	tags := types.RecordMap{}
	for r, at := range own {
		tags[types.String(r)] = types.NewSet(at...)
	}
	parents := make([]types.EntityUID, len(cx.Groups))
	for i, g := range cx.Groups {
		parents[i] = groupUID(g)
	}
	return types.Entity{UID: userUID(who.User), Parents: types.NewEntityUIDSet(parents...), Tags: types.NewRecord(tags), Attributes: types.NewRecord(types.RecordMap{
		"org": org, "name": types.String(who.Name), "kind": types.String(who.UserKind), "credential": types.String(who.Credential), "idp": types.String(cx.Rules.idpName(who.IDP)),
		"admin": types.NewSet(admin...), "projectAdmin": types.NewSet(projectAdmin...), "support": types.NewSet(support...),
		"operator": types.NewSet(operator...), "reader": types.NewSet(reader...), "auditor": types.NewSet(auditor...),
	})}
}

// attributes gives what the schema says a thing of this type has.
func attributes(on Resource, cx Context) types.Record {
	m := types.RecordMap{}
	switch on.Type {
	case TypeInstance:
		m["name"], m["region"] = types.String(on.Name), types.String(on.Region)
		m["project"] = types.String(cx.Rules.projectName(on.Project))
	case TypeSession, TypeRecording:
		m["kind"], m["osUser"] = types.String(on.SessionKind), types.String(on.OSUser)
		if on.Type == TypeSession {
			m["shared"] = types.String(on.Shared)
		}
		m["instance"] = types.NewEntityUID("Instance", types.String(on.Instance))
		m["region"] = types.String(on.Region)
		m["project"] = types.String(cx.Rules.projectName(on.Project))
	case TypeGroup:
		m["name"] = types.String(on.Name)
	case TypeGrant:
		m["role"] = types.String(on.Role)
	case TypeKey:
		m["machine"] = types.Boolean(on.Machine)
	case TypeOrg, TypeProject, TypeToken, TypeLogin, TypeUser, TypeLog, TypeIDP, TypeLock, TypeSink:
	}
	switch on.Type {
	case TypeSession, TypeRecording, TypeKey, TypeLogin, TypeUser:
		if on.Owner != "" {
			m["owner"] = userUID(on.Owner)
		}
	case TypeOrg, TypeProject, TypeInstance, TypeToken, TypeGroup, TypeGrant, TypeLog, TypeIDP, TypeLock, TypeSink:
	}
	return types.NewRecord(m)
}

func labels(l map[string]string) types.Record {
	if len(l) == 0 {
		return types.Record{}
	}
	m := make(types.RecordMap, len(l))
	for k, v := range l {
		m[types.String(k)] = types.String(v)
	}
	return types.NewRecord(m)
}

func context(who sess.Principal, on Resource, cx Context) types.Record {
	m := types.RecordMap{
		"now": types.NewDatetime(time.UnixMicro(cx.Now)), "kind": types.String(on.SessionKind), "osUser": types.String(on.OSUser),
		"reason": types.String(on.Reason), "sessionsOff": types.Boolean(cx.SessionsOff),
		"stage": types.String(who.Stage),
	}
	if !who.MFAAt.IsZero() {
		until := cx.Now
		if on.Began > 0 {
			until = on.Began
		}
		m["mfaAge"] = types.Long(max(0, (until-who.MFAAt.UnixMicro())/1e6))
	}
	if a := who.Addr.Unmap().WithZone(""); a.IsValid() {
		m["address"] = types.IPAddr(netip.PrefixFrom(a, a.BitLen()))
	}
	setClock(m, cx.Now, time.UTC)
	return types.NewRecord(m)
}

// setClock sets what the clock and the calendar on the wall say at a time in a zone.
func setClock(m types.RecordMap, now int64, zone *time.Location) {
	t := time.UnixMicro(now).In(zone)
	m["hour"], m["minute"] = types.Long(t.Hour()), types.Long(t.Minute())
	m["weekday"] = types.String(strings.ToLower(t.Weekday().String()))
}

// at gives the question as it is in a time zone.
func (q question) at(now int64, zone *time.Location) cedar.Request {
	r := q.Request
	m := make(types.RecordMap, r.Context.Len())
	for k, v := range r.Context.All() {
		m[k] = v
	}
	setClock(m, now, zone)
	r.Context = types.NewRecord(m)
	return r
}
