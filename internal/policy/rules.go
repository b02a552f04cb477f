package policy

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

//go:embed schema.cedarschema roles/*.cedar
var files embed.FS

const actionType = types.EntityType("Action")

// rule is one Cedar policy under the name that people see: the file without its ending, a slash, and its @id.
type rule struct {
	id     cedar.PolicyID
	policy *cedar.Policy
	zone   *time.Location // of its clock; UTC where it does not look at one
	whose  *plan          // where it is found by the thing: who it can match; else nil
}

// words is what the schema says: which actions there are, and to which types each applies.
type words struct {
	schema  *resolved.Schema
	applies map[Action]map[types.EntityType]bool
}

// contextNames lists the attributes of the context.
func (w *words) contextNames() []string {
	seen := map[string]bool{}
	for _, a := range w.schema.Actions {
		if a.AppliesTo == nil {
			continue
		}
		for name := range a.AppliesTo.Context {
			seen[string(name)] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// ruleList is the rules that can speak about one action, in the form that cedar.Authorize takes.
type ruleList []rule

// All gives the rules in order.
func (l ruleList) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, r := range l {
			if !yield(r.id, r.policy) {
				return
			}
		}
	}
}

func loadWords(text []byte) (*words, error) {
	var s schema.Schema
	s.SetFilename("schema.cedarschema")
	if err := s.UnmarshalCedar(text); err != nil {
		return nil, fmt.Errorf("parse policy schema: %w", err)
	}
	r, err := s.Resolve()
	if err != nil {
		return nil, fmt.Errorf("resolve policy schema: %w", err)
	}
	w := &words{schema: r, applies: map[Action]map[types.EntityType]bool{}}
	for uid, a := range r.Actions {
		on := map[types.EntityType]bool{}
		if a.AppliesTo != nil {
			for _, t := range a.AppliesTo.Resources {
				on[t] = true
			}
		}
		w.applies[Action(uid.ID)] = on
	}
	return w, nil
}

// loadRules reads and checks every file of roles.
func loadRules(fsys fs.FS, w *words) ([]rule, error) {
	names, err := fs.Glob(fsys, "roles/*.cedar")
	if err != nil {
		return nil, err
	}
	var rules []rule
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read policies: %w", err)
		}
		more, err := parseRules(path.Base(name), text, w)
		if err != nil {
			return nil, err
		}
		rules = append(rules, more...)
	}
	return rules, nil
}

// parseRules reads the policies of one file and checks each against the schema, strictly: an unknown attribute, an
// action that does not apply or a comparison of different types is an error here and not a surprise later. Each needs an
// @id that is unique in the file.
func parseRules(file string, text []byte, w *words) ([]rule, error) {
	list, err := cedar.NewPolicyListFromBytes(file, text)
	if err != nil {
		return nil, fmt.Errorf("parse policies of %s: %w", file, err)
	}
	check := validate.New(w.schema, validate.WithStrict())
	var rules []rule
	var errs []error
	seen := map[string]bool{}
	for _, p := range list {
		id := string(p.Annotations()["id"])
		if id == "" || seen[id] {
			errs = append(errs, fmt.Errorf("%s:%d: a policy needs an @id of its own", file, p.Position().Line))
			continue
		}
		seen[id] = true
		id = strings.TrimSuffix(file, ".cedar") + "/" + id
		if err := check.Policy(id, (*ast.Policy)(p.AST())); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", file, p.Position().Line, err))
		}
		rules = append(rules, rule{id: cedar.PolicyID(id), policy: p, zone: time.UTC})
	}
	return rules, errors.Join(errs...)
}

// index sorts the rules that we ship by the actions that they can speak about, so that a decision evaluates few of them.
func index(rules []rule, w *words) map[Action]plan {
	byAction := map[Action]plan{}
	for act := range w.applies {
		byAction[act] = planOf(rules, act, func(rule, Action) bool { return true })
	}
	return byAction
}

// speaksOf reports whether the head of p lets it match act; where it can't tell, it says yes.
func speaksOf(p *cedar.Policy, act Action) bool {
	uid := types.NewEntityUID(actionType, types.String(act))
	switch s := p.AST().Action.(type) {
	case ast.ScopeTypeEq:
		return s.Entity == uid
	case ast.ScopeTypeInSet:
		// An entity of the set may be a group of actions.
		return slices.ContainsFunc(s.Entities, func(e types.EntityUID) bool { return e == uid })
	default:
		return true
	}
}
