package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	// maxOrgs bounds for how many organisations compiled rules are kept.
	maxOrgs = 1024
	// maxShownRules bounds the rules that an event names.
	maxShownRules = 20
)

// rules keeps the compiled rules of organisations, each as of the version that org.rules counts.
type rules struct {
	mu   sync.Mutex // protects the following
	orgs map[sess.OrgID]*policy.OrgRules
}

// Standing is what a member is in their organisation, as far as decisions ask.
type Standing struct {
	User sess.UserID
	Name string
	Kind sess.UserKind
	// Active is set for who may do anything at all; Pending is who was invited and has not come, Deleted a tombstone.
	Active, Pending, Deleted bool

	Grants []sess.Grant
	Groups []string // names; where no rule asks for them, none
	// Teams are the groups by id, where they were asked for (StandingOf).
	Teams map[sess.TeamID]string
	Rules *policy.OrgRules

	Settings sess.Settings
}

// standing loads what a member is, and the rules of the org as of the same moment. There is none: store.ErrNotFound.
func (g *Gate) standing(ctx context.Context, st *store.Tx, org sess.OrgID, user sess.UserID) (Standing, error) {
	m, err := st.GetStanding(ctx, org, user)
	if err != nil {
		return Standing{}, err
	}
	s := Standing{User: user, Name: m.Name, Kind: m.Kind, Active: m.Active != 0, Pending: m.Pending != 0, Deleted: m.DeletedAt != nil}
	if s.Settings, err = sess.ParseSettings(m.Settings); err != nil {
		return Standing{}, err
	}
	if !s.Active || s.Deleted {
		return s, nil
	}
	if s.Rules, err = g.rulesOf(ctx, st, org, m.Rules); err != nil {
		return Standing{}, err
	}
	rows, err := st.ListGrantsOfUser(ctx, org, user)
	if err != nil {
		return Standing{}, fmt.Errorf("load grants: %w", err)
	}
	for _, r := range rows {
		s.Grants = append(s.Grants, sess.Grant{ID: r.ID, Role: r.Role, Project: r.Project, Team: r.Team})
	}
	if !s.Rules.UsesGroups() {
		return s, nil
	}
	s.Groups, err = groupsOf(ctx, st, org, user)
	return s, err
}

// groupsOf gives the names of the groups a member is in.
func groupsOf(ctx context.Context, st *store.Tx, org sess.OrgID, user sess.UserID) ([]string, error) {
	teams, err := st.ListTeamsOfUser(ctx, org, user)
	if err != nil {
		return nil, fmt.Errorf("load groups: %w", err)
	}
	var names []string
	for _, t := range teams {
		names = append(names, t.Name)
	}
	return names, nil
}

// rulesOf gives the compiled rules of an org as of a version, from memory if they are there.
func (g *Gate) rulesOf(ctx context.Context, st *store.Tx, org sess.OrgID, version int64) (*policy.OrgRules, error) {
	g.rules.mu.Lock()
	kept := g.rules.orgs[org]
	g.rules.mu.Unlock()
	if kept.Version() == version {
		return kept, nil
	}
	src, err := RulesSource(ctx, st, org)
	if err != nil {
		return nil, err
	}
	src.Version = version
	r := g.policy.Compile(src, kept)
	if broken := r.Broken(); len(broken) > 0 {
		g.log.ErrorContext(ctx, "policies that don't fit this version: everything they could speak of is denied", "org", string(org), "policies", broken)
	}
	// Kept only once committed: what a transaction changed itself and then rolled back must not pass for its version.
	st.AfterCommit(func() { g.keep(org, r) })
	return r, nil
}

func (g *Gate) keep(org sess.OrgID, r *policy.OrgRules) {
	g.rules.mu.Lock()
	defer g.rules.mu.Unlock()
	if g.rules.orgs == nil {
		g.rules.orgs = map[sess.OrgID]*policy.OrgRules{}
	}
	for other := range g.rules.orgs { // any: it is compiled again when it is asked for
		if len(g.rules.orgs) < maxOrgs {
			break
		}
		delete(g.rules.orgs, other)
	}
	if g.rules.orgs[org].Version() < r.Version() {
		g.rules.orgs[org] = r
	}
}

// RulesSource loads what the rules of an org are made of, but for their version.
func RulesSource(ctx context.Context, st *store.Tx, org sess.OrgID) (policy.Source, error) {
	src := policy.Source{Projects: map[sess.ProjectID]string{}, IDPs: map[string]string{}}
	o, err := st.GetOrg(ctx, org)
	if err != nil {
		return src, fmt.Errorf("load organisation: %w", err)
	}
	settings, err := sess.ParseSettings(o.Settings)
	if err != nil {
		return src, err
	}
	src.Defaults = settings.Controls()
	roles, err := st.ListRoles(ctx, org)
	if err != nil {
		return src, fmt.Errorf("load roles: %w", err)
	}
	for _, row := range roles {
		c, err := CustomRole(row)
		if err != nil {
			return src, err
		}
		src.Roles = append(src.Roles, c)
	}
	policies, err := st.ListPolicies(ctx, org)
	if err != nil {
		return src, fmt.Errorf("load policies: %w", err)
	}
	for _, p := range policies {
		src.Policies = append(src.Policies, policy.Text{Name: p.Name, Body: p.Body})
	}
	projects, err := st.ListProjectNames(ctx, org)
	if err != nil {
		return src, fmt.Errorf("load projects: %w", err)
	}
	for _, p := range projects {
		src.Projects[p.ID] = p.Name
	}
	idps, err := st.ListIDPNames(ctx, org)
	if err != nil {
		return src, fmt.Errorf("load identity providers: %w", err)
	}
	for _, p := range idps {
		src.IDPs[string(p.ID)] = p.Name
	}
	src.Locks, err = locksOf(ctx, st, org)
	return src, err
}

// CustomRole reads a role's row.
func CustomRole(row store.Role) (policy.CustomRole, error) {
	c := policy.CustomRole{Name: row.Name, Summary: row.Summary}
	if err := json.Unmarshal([]byte(row.Actions), &c.Actions); err != nil {
		return c, fmt.Errorf("read role %s: %w", row.Name, err)
	}
	if err := json.Unmarshal([]byte(row.Controls), &c.Controls); err != nil {
		return c, fmt.Errorf("read role %s: %w", row.Name, err)
	}
	return c, nil
}

// load finds out whether the principal is an active member of its org, the roles it holds, and the rules of the org.
func (tx *Tx) load(ctx context.Context) error {
	if !policy.NeedsMember(tx.who) {
		return nil
	}
	if tx.write {
		// Whoever takes something away from a member holds this lock alone: what they hold was decided before, and is seen by
		// them, or is decided after.
		if err := tx.LockShared(ctx, MemberLock(tx.who.Org, tx.who.User)); err != nil {
			return err
		}
		if err := tx.revoked(ctx); err != nil {
			return err
		}
	}
	s, err := tx.gate.standing(ctx, tx.Tx, tx.who.Org, tx.who.User)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return tx.refuse(errNoMember())
	case err != nil:
		return fmt.Errorf("load member: %w", err)
	case s.Deleted, s.Pending && tx.entry.Action != policy.Accept:
		return tx.refuse(errNoMember())
	case !s.Active:
		return tx.refuse(sess.New(sess.CodeDenied, "your account in this organisation is not active", "ask an admin of the organisation to activate it"))
	}
	tx.standing, tx.grants = s, s.Grants
	return tx.unlocked()
}

func (tx *Tx) context() policy.Context {
	return tx.standing.Context(store.Micros(tx.entry.Time))
}

// ChangeRules says that what decides in an organisation changed, by this transaction.
func (tx *Tx) ChangeRules(ctx context.Context, org sess.OrgID) (int64, error) {
	tx.AfterCommit(tx.gate.changed)
	return tx.Tx.ChangeRules(ctx, org) //nolint:wrapcheck // it is the query itself, with a word to those who wait
}

// Rules gives the organisation's own rules that decide in this transaction; nil: none.
func (tx *Tx) Rules() *policy.OrgRules { return tx.standing.Rules }

// Context gives what decisions about a member depend on at a time, in microseconds.
func (s Standing) Context(now int64) policy.Context {
	return policy.Context{Now: now, Rules: s.Rules, Groups: s.Groups, SessionsOff: s.Settings.SessionsOff}
}

// thing is what rules may ask of the instance that a session runs on.
type thing struct {
	labels map[string]string
	region string
}

// loadThings gives what loads instances' labels and regions, each once.
func loadThings(ctx context.Context, st *store.Tx) func(sess.OrgID, sess.InstanceID) (thing, error) {
	seen := map[sess.InstanceID]thing{}
	return func(org sess.OrgID, id sess.InstanceID) (thing, error) {
		if t, ok := seen[id]; ok {
			return t, nil
		}
		t := thing{labels: map[string]string{}}
		region, err := st.GetRegion(ctx, org, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return t, fmt.Errorf("load instance of session: %w", err)
		}
		rows, err := st.ListLabels(ctx, org, id)
		if err != nil {
			return t, fmt.Errorf("load labels of instance: %w", err)
		}
		t.region = region
		for _, l := range rows {
			t.labels[l.Name] = l.Value
		}
		seen[id] = t
		return t, nil
	}
}

// complete adds to a session or recording what policies may ask of its instance, where there are any.
func (tx *Tx) complete(on policy.Resource) policy.Resource {
	of := on.Type == policy.TypeSession || on.Type == policy.TypeRecording
	if !of || on.Labels != nil || on.Instance == "" || on.Org != tx.who.Org || !tx.Rules().UsesThings() {
		return on
	}
	t, err := tx.things(on.Org, on.Instance)
	if err != nil {
		tx.incomplete = err // a decision without them would be about something else
		return policy.Resource{}
	}
	on.Labels, on.Region = t.labels, t.region
	return on
}

// explain keeps with the event what decided, for those who have it explained later.
func (tx *Tx) explain(on policy.Resource, d policy.Decision) {
	if d.Allowed && tx.entry.Action != policy.SessionStart {
		return
	}
	if d.Allowed || len(d.Rules) > 0 {
		tx.Detail("rules", shown(d.Rules))
	}
	if len(d.Failed) > 0 {
		tx.Detail("failed_rules", shown(d.Failed))
	}
	for k, v := range map[string]string{"missing": d.Missing, "limit": d.Limit} {
		if v != "" {
			tx.Detail(k, v)
		}
	}
	if on.Type == policy.TypeInstance && on.SessionKind != "" {
		tx.Detail("kind", string(on.SessionKind))
		if on.OSUser != "" {
			tx.Detail("os_user", on.OSUser)
		}
	}
}

func shown(ids []string) string {
	ids = slices.Clone(ids)
	if n := len(ids); n > maxShownRules {
		ids = append(ids[:maxShownRules], fmt.Sprintf("and %d more", n-maxShownRules))
	}
	return strings.Join(ids, " ")
}
