package policy

import (
	"iter"
	"slices"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// A rule that can only match for one value of something (a group, a label's value, a project) is found by that value, so
// that a decision looks at the few rules that may match, however many the organisation has.

// dim is what a rule can be found by.
type dim struct {
	kind dimKind
	name string // of the label, or the length of the prefix
}

type dimKind int

const (
	dimNone      dimKind = iota
	dimUser              // principal == User::"…"
	dimResource          // resource == Instance::"…"
	dimRole              // principal.hasTag("…")
	dimHeld              // resource in principal.operator, and the like: by the name of the set, where it is not empty
	dimName              // resource.name == "…"
	dimLabel             // resource.getTag("…") == "…"
	dimGroup             // principal in Group::"…"
	dimProject           // resource.project == "…"
	dimRegion            // resource.region == "…"
	dimOSUser            // context.osUser == "…"
	dimAddress           // context.address.isInRange(ip("…")): one for each length of a prefix, which is its name
	dimKindOf            // context.kind == "…"
	dimPrincipal         // principal.kind == "…"
)

// place is a value of a dim.
type place struct {
	dim   dim
	value string
}

// plan is the rules that can speak of one action.
type plan struct {
	always ruleList
	at     map[place]ruleList
	dims   map[dim]bool
}

func (p plan) empty() bool { return len(p.always) == 0 && len(p.at) == 0 }

// planOf sorts the rules that can speak of act and that counts lets.
func planOf(rules []rule, act Action, counts func(rule, Action) bool) plan {
	p := plan{at: map[place]ruleList{}, dims: map[dim]bool{}}
	zones := map[string]*time.Location{}
	for _, r := range rules {
		if !speaksOf(r.policy, act) || !counts(r, act) {
			continue
		}
		if zones[r.zone.String()] == nil {
			zones[r.zone.String()] = r.zone
		}
		r.zone = zones[r.zone.String()] // one of a name, to compare by
		places := placesOf(r.policy, func(dimKind) bool { return true })
		if len(places) > 0 && !ofPrincipal(places[0].dim.kind) {
			r.whose = &plan{at: map[place]ruleList{}, dims: map[dim]bool{}}
			for _, at := range placesOf(r.policy, ofPrincipal) {
				r.whose.at[at], r.whose.dims[at.dim] = ruleList{r}, true
			}
		}
		if len(places) == 0 {
			p.always = append(p.always, r)
			continue
		}
		for _, at := range places {
			p.at[at] = append(p.at[at], r)
			p.dims[at.dim] = true
		}
	}
	return p
}

// selection is the rules of a plan that may match a question, those of one zone at a time.
type selection struct {
	lists []ruleList
	zone  *time.Location
}

// All gives the rules of the zone.
func (s *selection) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, l := range s.lists {
			for _, r := range l {
				if r.zone == s.zone && !yield(r.id, r.policy) {
					return
				}
			}
		}
	}
}

// zones gives the time zones of the rules.
func (s *selection) zones() []*time.Location {
	var zones []*time.Location
	for _, l := range s.lists {
		for _, r := range l {
			if !slices.Contains(zones, r.zone) {
				zones = append(zones, r.zone)
			}
		}
	}
	return zones
}

func (p plan) candidates(q question) selection {
	return selection{lists: p.relevant(q), zone: time.UTC}
}

// ofSomething gives the rules that may match the principal and the context of q, on whatever thing.
func (p plan) ofSomething(q question) []ruleList {
	lists := p.relevant(q)
	for at, l := range p.at {
		if ofPrincipal(at.dim.kind) {
			continue
		}
		var these ruleList
		for _, r := range l {
			if len(r.whose.at) == 0 || len(r.whose.relevant(q)) > 0 {
				these = append(these, r)
			}
		}
		lists = append(lists, these)
	}
	return lists
}

// ofPrincipal reports whether a dim is about who asks, and not on what and how.
func ofPrincipal(d dimKind) bool {
	switch d {
	case dimUser, dimRole, dimHeld, dimGroup, dimPrincipal:
		return true
	case dimNone, dimResource, dimName, dimLabel, dimProject, dimRegion, dimOSUser, dimAddress, dimKindOf:
	}
	return false
}

// relevant gives the rules that may match q.
func (p plan) relevant(q question) []ruleList {
	var lists []ruleList
	if len(p.always) > 0 {
		lists = append(lists, p.always)
	}
	add := func(d dim, v types.Value) {
		var s string
		switch v := v.(type) {
		case types.String:
			s = string(v)
		case types.EntityUID:
			s = string(v.ID)
		default:
			return
		}
		if l := p.at[place{d, s}]; len(l) > 0 {
			lists = append(lists, l)
		}
	}
	who, thing := q.entities[q.Principal], q.entities[q.Resource]
	for d := range p.dims {
		switch d.kind {
		case dimNone:
		case dimUser:
			add(d, q.Principal)
		case dimResource:
			add(d, q.Resource)
		case dimRole:
			for k := range who.Tags.Keys() {
				add(d, k)
			}
		case dimHeld:
			for _, name := range heldSets {
				if v, _ := who.Attributes.Get(name); v != nil {
					if set, ok := v.(types.Set); ok && set.Len() > 0 {
						add(d, name)
					}
				}
			}
		case dimGroup:
			for g := range who.Parents.All() {
				add(d, g)
			}
		case dimLabel:
			v, _ := thing.Tags.Get(types.String(d.name))
			add(d, v)
		case dimAddress:
			add(d, networkOf(q.Context, d.name))
		default:
			add(d, attributeOf(d.kind, who, thing, q.Context))
		}
	}
	return lists
}

func attributeOf(d dimKind, who, thing types.Entity, cx types.Record) types.Value {
	var v types.Value
	switch d {
	case dimName:
		v, _ = thing.Attributes.Get("name")
	case dimProject:
		v, _ = thing.Attributes.Get("project")
	case dimRegion:
		v, _ = thing.Attributes.Get("region")
	case dimOSUser:
		v, _ = cx.Get("osUser")
	case dimKindOf:
		v, _ = cx.Get("kind")
	case dimPrincipal:
		v, _ = who.Attributes.Get("kind")
	default:
	}
	return v
}

// heldSets are the attributes of a user that say where a role of ours is held.
var heldSets = [...]types.String{"admin", "projectAdmin", "operator", "support", "reader", "auditor"}

// placesOf gives where a rule is found, by the dims that are wanted: it can't match where none of them is. Empty: it may match
// anywhere.
func placesOf(p *cedar.Policy, wanted func(dimKind) bool) []place {
	tree := (*ast.Policy)(p.AST())
	var best []place
	take := func(found []place) {
		if len(found) > 0 && wanted(found[0].dim.kind) && (len(best) == 0 || found[0].dim.kind < best[0].dim.kind) {
			best = found
		}
	}
	switch s := tree.Principal.(type) {
	case ast.ScopeTypeEq:
		take([]place{{dim{kind: dimUser}, string(s.Entity.ID)}})
	case ast.ScopeTypeIn:
		take(groupPlace(s.Entity))
	case ast.ScopeTypeIsIn:
		take(groupPlace(s.Entity))
	}
	if s, ok := tree.Resource.(ast.ScopeTypeEq); ok {
		take([]place{{dim{kind: dimResource}, string(s.Entity.ID)}})
	}
	for _, c := range tree.Conditions {
		// What stands behind something that may fail does not count: the failure must be seen.
		if !eachConjunct(c, func(n ast.IsNode) { take(conjunctPlaces(n)) }) {
			break
		}
	}
	return best
}

func groupPlace(e types.EntityUID) []place {
	if e.Type != "Group" {
		return nil
	}
	return []place{{dim{kind: dimGroup}, string(e.ID)}}
}

// eachConjunct calls f with what must be true for a condition to hold, from the left, as long as nothing can fail; it
// reports whether nothing can.
func eachConjunct(c ast.ConditionType, f func(ast.IsNode)) bool {
	if c.Condition == ast.ConditionUnless {
		return !mayFail(c.Body)
	}
	var walk func(n ast.IsNode) bool
	walk = func(n ast.IsNode) bool {
		if and, ok := n.(ast.NodeTypeAnd); ok {
			return walk(and.Left) && walk(and.Right)
		}
		if mayFail(n) {
			return false
		}
		f(n)
		return true
	}
	return walk(c.Body)
}

// mayFail reports whether the evaluation of n can fail although it fits the schema: numbers, dates and durations run over.
func mayFail(n ast.IsNode) bool {
	fails := false
	ast.Inspect(ast.NewNode(n), func(n ast.IsNode) bool {
		switch n := n.(type) {
		case ast.NodeTypeAdd, ast.NodeTypeSub, ast.NodeTypeMult, ast.NodeTypeNegate:
			fails = true
		case ast.NodeTypeExtensionCall:
			switch n.Name {
			case "ip", "isInRange", "isIpv4", "isIpv6", "isLoopback", "isMulticast":
			default:
				fails = true
			}
		}
		return !fails
	})
	return fails
}

// conjunctPlaces gives where one condition can be true.
func conjunctPlaces(n ast.IsNode) []place {
	switch n := n.(type) {
	case ast.NodeTypeEquals:
		if d, v := valueOf(n.Left), textOf(n.Right); d.kind != dimNone && v != nil {
			return []place{{d, *v}}
		}
		if d, v := valueOf(n.Right), textOf(n.Left); d.kind != dimNone && v != nil {
			return []place{{d, *v}}
		}
	case ast.NodeTypeIn:
		if a, ok := n.Right.(ast.NodeTypeAccess); ok && isVariable(a.Arg, "principal") && slices.Contains(heldSets[:], a.Value) {
			return []place{{dim{kind: dimHeld}, string(a.Value)}}
		}
		if isVariable(n.Left, "principal") {
			if v, ok := n.Right.(ast.NodeValue); ok {
				if uid, ok := v.Value.(types.EntityUID); ok {
					return groupPlace(uid)
				}
			}
		}
	case ast.NodeTypeOr:
		return eitherPlaces(conjunctPlaces(n.Left), conjunctPlaces(n.Right))
	case ast.NodeTypeExtensionCall:
		return addressPlaces(n)
	case ast.NodeTypeHasTag:
		if v := textOf(n.Right); v != nil && isVariable(n.Left, "principal") {
			return []place{{dim{kind: dimRole}, *v}}
		}
	case ast.NodeTypeContains:
		return containsPlaces(n)
	}
	return nil
}

// containsPlaces is of ["a", "b"].contains(…).
func containsPlaces(n ast.NodeTypeContains) []place {
	d := valueOf(n.Right)
	set, ok := n.Left.(ast.NodeTypeSet)
	if d.kind == dimNone || !ok {
		return nil
	}
	var places []place
	for _, e := range set.Elements {
		v := textOf(e)
		if v == nil {
			return nil
		}
		if at := (place{d, *v}); !slices.Contains(places, at) {
			places = append(places, at)
		}
	}
	return places
}

// valueOf says which dim an expression is the value of.
func valueOf(n ast.IsNode) dim {
	switch n := n.(type) {
	case ast.NodeTypeGetTag:
		if v := textOf(n.Right); v != nil && isVariable(n.Left, "resource") {
			return dim{dimLabel, *v}
		}
	case ast.NodeTypeAccess:
		switch {
		case isVariable(n.Arg, "resource"):
			return dim{kind: map[types.String]dimKind{"name": dimName, "project": dimProject, "region": dimRegion}[n.Value]}
		case isVariable(n.Arg, "context"):
			return dim{kind: map[types.String]dimKind{"osUser": dimOSUser, "kind": dimKindOf}[n.Value]}
		case isVariable(n.Arg, "principal") && n.Value == "kind":
			return dim{kind: dimPrincipal}
		}
	}
	return dim{}
}

func isVariable(n ast.IsNode, name types.String) bool {
	v, ok := n.(ast.NodeTypeVariable)
	return ok && v.Name == name
}

// textOf gives the text that n is; nil: it is none.
func textOf(n ast.IsNode) *string {
	v, ok := n.(ast.NodeValue)
	if !ok {
		return nil
	}
	s, ok := v.Value.(types.String)
	if !ok {
		return nil
	}
	return new(string(s))
}
