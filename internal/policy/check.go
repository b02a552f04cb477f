package policy

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // policies name time zones, and a server's machine need not know them

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"github.com/sessctl/sess/internal/sess"
)

// Limits of one policy, so that checking and evaluating it take a bounded time.
const (
	maxStatements = 200
	maxNesting    = 64
	maxNodes      = 4000 // of all statements
	maxZoneName   = 64
)

// CheckPolicy says what is wrong with a policy that somebody wants, with line, column and a hint; nil: nothing.
func (e *Engine) CheckPolicy(t Text) error {
	if err := CheckPolicyName(t.Name); err != nil {
		return err
	}
	_, err := e.checkPolicy(t)
	return err
}

// checkPolicy parses and checks. Its errors are *sess.Error.
func (e *Engine) checkPolicy(t Text) ([]rule, error) {
	fault := func(line, col int, hint, format string, a ...any) error {
		return sess.New(sess.CodeInvalid, fmt.Sprintf("%s:%d:%d: ", t.Name, line, col)+fmt.Sprintf(format, a...), hint)
	}
	if len(t.Body) > MaxPolicyText {
		return nil, sess.New(sess.CodeTooLarge, fmt.Sprintf("the policy has more than %d KiB", MaxPolicyText>>10), "split it into several")
	}
	if line, col, ok := tooDeep(t.Body); ok {
		return nil, fault(line, col, "write it flatter", "brackets are nested more than %d deep", maxNesting)
	}
	list, err := cedar.NewPolicyListFromBytes(t.Name, []byte(t.Body))
	if err != nil {
		line, col, what := parseFault(err)
		return nil, fault(line, col, "a policy looks like: forbid (principal, action == Action::\"session:start\", resource) when { … };", "%s", what)
	}
	switch {
	case len(list) == 0:
		return nil, fault(1, 1, "write at least one permit (…) or forbid (…)", "the policy is empty")
	case len(list) > maxStatements:
		return nil, fault(list[maxStatements].Position().Line, 1, "split it into several policies", "there are more than %d statements", maxStatements)
	}
	return e.checkStatements(t, list, fault)
}

type faulter func(line, col int, hint, format string, a ...any) error

func (e *Engine) checkStatements(t Text, list cedar.PolicyList, fault faulter) ([]rule, error) {
	check := validate.New(e.words.schema, validate.WithStrict())
	var rules []rule
	seen := map[string]bool{}
	nodes := 0
	for i, p := range list {
		at := p.Position()
		end := len(t.Body)
		if i+1 < len(list) {
			end = list[i+1].Position().Offset
		}
		nodes += countNodes(p)
		if nodes > maxNodes {
			return nil, fault(at.Line, at.Column, "split it into several policies", "the policy is too large: more than %d expressions", maxNodes)
		}
		id, zone, err := annotations(p, i, len(list), seen)
		if err != nil {
			return nil, fault(at.Line, at.Column, sess.Public(err).Hint, "%s", sess.Public(err).Message)
		}
		id = strings.TrimSuffix(policyPrefix+t.Name+"#"+id, "#")
		if err := check.Policy(id, (*ast.Policy)(p.AST())); err != nil {
			line, col, what, hint := e.explainFault(err, t.Body[at.Offset:end], at)
			return nil, fault(line, col, hint, "%s", what)
		}
		r := rule{id: cedar.PolicyID(id), policy: p, zone: zone}
		if err := e.checkReach(r); err != nil {
			return nil, fault(at.Line, at.Column, err.Hint, "%s", err.Message)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// annotations reads what stands before a statement: @id names it among several, @timezone is the zone of its clock.
func annotations(p *cedar.Policy, i, of int, seen map[string]bool) (id string, zone *time.Location, err error) {
	zone = time.UTC
	for k, v := range p.Annotations() {
		switch k {
		case "id":
			id = string(v)
			if !policyName.MatchString(id) {
				return "", nil, sess.New(sess.CodeInvalid, fmt.Sprintf("@id(%q) is no name", clip(id)), "use up to 64 lower-case letters, digits, '.', '_' and '-'")
			}
		case "timezone":
			// Of the names that Go would take, "Local" is the server's and means something else on each.
			z, zerr := time.LoadLocation(string(v))
			if zerr != nil || len(v) > maxZoneName || v == "Local" || v == "" {
				return "", nil, sess.New(sess.CodeInvalid, fmt.Sprintf("there is no time zone %q", clip(string(v))), "they have names like Europe/Berlin, America/New_York or UTC")
			}
			if looksAtClock(p) {
				zone = z
			}
		}
	}
	if id == "" && of > 1 {
		id = strconv.Itoa(i + 1)
	}
	if seen[id] {
		return "", nil, sess.New(sess.CodeInvalid, fmt.Sprintf("two statements have the @id %q", id), "give each a name of its own")
	}
	seen[id] = true
	return id, zone, nil
}

// looksAtClock reports whether a policy depends on the time zone.
func looksAtClock(p *cedar.Policy) bool {
	found := false
	eachNode(p, func(n ast.IsNode) {
		switch n := n.(type) {
		case ast.NodeTypeAccess:
			found = found || isVariable(n.Arg, "context") && slices.Contains([]types.String{"hour", "minute", "weekday"}, n.Value)
		case ast.NodeTypeVariable:
			found = found || n.Name == "context" // as a whole: better evaluated once more than wrongly
		}
	})
	return found
}

// mentionsFactors reports whether a rule asks for the age of a second factor.
func mentionsFactors(r rule) bool {
	found := false
	eachNode(r.policy, func(n ast.IsNode) {
		if has, ok := n.(ast.NodeTypeHas); ok {
			found = found || has.Value == "mfaAge"
		}
	})
	return found
}

// mentionsGroups reports whether a rule asks for the groups of somebody.
func mentionsGroups(r rule) bool {
	if strings.HasPrefix(string(r.id), policyPrefix) {
		tree := (*ast.Policy)(r.policy.AST())
		switch tree.Principal.(type) {
		case ast.ScopeTypeIn, ast.ScopeTypeIsIn:
			return true
		}
		found := false
		eachNode(r.policy, func(n ast.IsNode) {
			switch n := n.(type) {
			case ast.NodeTypeIn:
				found = found || !isVariable(n.Left, "resource")
			case ast.NodeTypeIsIn:
				found = true
			}
		})
		return found
	}
	return false
}

func eachNode(p *cedar.Policy, f func(ast.IsNode)) {
	for _, c := range (*ast.Policy)(p.AST()).Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool { f(n); return true })
	}
}

func countNodes(p *cedar.Policy) int {
	n := 1
	eachNode(p, func(x ast.IsNode) {
		n++
		if r, ok := x.(ast.NodeTypeRecord); ok {
			n += len(r.Elements)
		}
	})
	if s, ok := (*ast.Policy)(p.AST()).Action.(ast.ScopeTypeInSet); ok {
		n += len(s.Entities)
	}
	return n
}

// checkReach refuses a statement that can never count.
func (e *Engine) checkReach(r rule) *sess.Error {
	var named, counts []Action
	for act := range e.words.applies {
		if !speaksOf(r.policy, act) {
			continue
		}
		named = append(named, act)
		if mayGovern(r, act) {
			counts = append(counts, act)
		}
	}
	slices.Sort(named)
	s := (*ast.Policy)(r.policy.AST()).Action
	if _, every := s.(ast.ScopeTypeAll); every || len(counts) == len(named) {
		return nil
	}
	i := slices.IndexFunc(named, func(a Action) bool { return !mayGovern(r, a) })
	if r.policy.Effect() == cedar.Forbid {
		return sess.New(sess.CodeInvalid, fmt.Sprintf("policies have no say in %s", named[i]), "so that nobody can lock everybody out of logging in and of mending the rules")
	}
	return sess.New(sess.CodeInvalid, fmt.Sprintf("a policy can't permit %s", named[i]),
		"policies permit what concerns instances, sessions, recordings, enrolment tokens and the audit log; the rest comes with roles, by sessctl grant add")
}

var parseAt = regexp.MustCompile(`(?s)parse error at (?:<input>|[^:]*):(\d+):(\d+) (".*?[^\\]"|""): (.*)$`)

// parseFault reads the position in an error of Cedar's parser.
func parseFault(err error) (line, col int, what string) {
	m := parseAt.FindStringSubmatch(err.Error())
	if m == nil {
		return 1, 1, strings.ReplaceAll(err.Error(), "\n", " ")
	}
	line, _ = strconv.Atoi(m[1])
	col, _ = strconv.Atoi(m[2])
	return line, col, "can't be read at " + m[3] + ": " + m[4]
}

var quoted = regexp.MustCompile("`([^`]*)`")

// explainFault makes of the validator's error a place and words. The validator says what, not where: the place is that of
// the first word of the statement that it complains of.
func (e *Engine) explainFault(err error, text string, at cedar.Position) (line, col int, what, hint string) {
	first := err
	for {
		if many, ok := first.(interface{ Unwrap() []error }); ok && len(many.Unwrap()) > 0 {
			first = many.Unwrap()[0]
			continue
		}
		if next := errors.Unwrap(first); next != nil {
			first = next
			continue
		}
		break
	}
	what = first.Error()
	if _, rest, ok := strings.Cut(what, "`, "); ok && strings.HasPrefix(what, "for policy `") {
		what = rest
	}
	line, col = at.Line, at.Column
	for _, m := range quoted.FindAllStringSubmatch(what, -1) {
		word := strings.Trim(m[1], `"`)
		if i := strings.LastIndexAny(word, `."`); i >= 0 && !strings.Contains(what, "action") {
			word = word[i+1:]
		}
		if i := strings.Index(text, word); word != "" && i >= 0 {
			before := text[:i]
			line = at.Line + strings.Count(before, "\n")
			if nl := strings.LastIndexByte(before, '\n'); nl >= 0 {
				col = i - nl
			} else {
				col = at.Column + i
			}
			hint = e.faultHint(what, m[1])
			break
		}
	}
	if hint == "" {
		hint = e.faultHint(what, "")
	}
	return line, col, what, hint
}

func (e *Engine) faultHint(what, word string) string {
	switch {
	case strings.Contains(what, "tag"):
		return `ask first whether the label is there: resource.hasTag("env") && resource.getTag("env") == "prod"`
	case strings.Contains(what, "safety of access to optional"):
		return "ask first whether it is there, in the same condition: context has mfaAge && context.mfaAge < 300"
	case strings.Contains(what, "unrecognized action"):
		name := strings.TrimSuffix(strings.TrimPrefix(word, `Action::"`), `"`)
		return didYouMean(name, actionNames())
	case strings.Contains(what, "unrecognized entity type"):
		return didYouMean(word, e.typeNames())
	case strings.Contains(what, "not found"):
		return didYouMean(word, e.attributeNames())
	case strings.Contains(what, "unable to find an applicable action"):
		return "the action does not apply to a thing of that type: docs/reference/permissions.md says which does"
	}
	return "docs/guides/policies.md has examples, docs/reference/policy-words.md every word"
}

func (e *Engine) typeNames() []string {
	var names []string
	for t := range e.words.schema.Entities {
		names = append(names, string(t))
	}
	return names
}

// attributeNames lists every attribute of every type, and of the context.
func (e *Engine) attributeNames() []string {
	seen := map[string]bool{}
	for _, t := range e.words.schema.Entities {
		for a := range t.Shape {
			seen[string(a)] = true
		}
	}
	for _, a := range e.words.contextNames() {
		seen[a] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// tooDeep finds where brackets are nested deeper than Cedar's parser, which recurses, should be asked to follow.
func tooDeep(text string) (line, col int, ok bool) {
	depth, row, start := 0, 1, 0
	inText, inComment := false, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\n':
			row, start, inComment = row+1, i+1, false
		case inComment:
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '/' && i+1 < len(text) && text[i+1] == '/':
			inComment = true
		case strings.IndexByte("([{", c) >= 0:
			depth++
			if depth > maxNesting {
				return row, i - start + 1, true
			}
		case strings.IndexByte(")]}", c) >= 0:
			depth--
		}
	}
	return 0, 0, false
}

// didYouMean names the nearest of some words; empty when none is near.
func didYouMean(word string, words []string) string {
	best, most := "", max(2, len(word)/3)
	for _, w := range slices.Sorted(slices.Values(words)) {
		if d := distance(word, w); d <= most {
			best, most = w, d-1
		}
	}
	if best == "" || len(word) > 64 {
		return "docs/reference/permissions.md and docs/reference/policy-words.md list every word"
	}
	return "did you mean " + best + "?"
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			last, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, last+cost)
		}
	}
	return row[len(b)]
}
