package identity

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// maxOwnRoles bounds how many roles of an organisation's own are named in a hint.
const maxOwnRoles = 20

// builtinRoles are the roles we ship, the most powerful first.
func builtinRoles() []sess.Role {
	return []sess.Role{sess.RoleAdmin, sess.RoleProjectAdmin, sess.RoleOperator, sess.RoleSupport, sess.RoleReadOnly, sess.RoleAuditor}
}

// checkRole says whether there is such a role, ours or the organisation's, that can be given there.
func checkRole(ctx context.Context, tx *store.Tx, org sess.OrgID, role sess.Role, project sess.ProjectID) error {
	if role == sess.RoleAdmin && project != "" {
		return sess.New(sess.CodeInvalid, "org-admin is a role on the whole organisation", "project-admin is the one for a project")
	}
	if slices.Contains(builtinRoles(), role) {
		return nil
	}
	// Whoever deletes it holds this alone: what is given is seen by them, or is refused.
	if err := tx.LockShared(ctx, roleLock(org, role)); err != nil {
		return err
	}
	n, err := tx.CountRoles(ctx, org, role)
	if err != nil {
		return fmt.Errorf("look for role: %w", err)
	}
	if n > 0 {
		return nil
	}
	own, err := tx.ListOwnRoles(ctx, org, maxOwnRoles)
	if err != nil {
		return fmt.Errorf("list roles: %w", err)
	}
	var names []string
	for _, r := range append(builtinRoles(), own...) {
		names = append(names, string(r))
	}
	return sess.New(sess.CodeInvalid, fmt.Sprintf("unknown role %q", clip(string(role), maxName)), "roles are "+strings.Join(names, ", "))
}

// roleLock is the name of the lock of a role of an organisation's own.
func roleLock(org sess.OrgID, role sess.Role) string {
	return "role " + string(org) + " " + string(role)
}

// mayGive refuses a role that allows more than who asks may do.
func mayGive(tx *gate.Tx, role sess.Role, project sess.ProjectID) error {
	if missing, ok := tx.Covers(role, project); !ok {
		return sess.New(sess.CodeDenied, fmt.Sprintf("the role %s allows more than you may do yourself: to %s", role, policy.Describe(missing)),
			"who gives a role must hold all of it there; ask an org admin")
	}
	return nil
}

// keepAdmin runs a change that takes something away, unless it takes the last org admin away, and notes it.
func (s *Service) keepAdmin(ctx context.Context, tx *gate.Tx, change func() error) error {
	last, err := s.lastAdmin(ctx, tx, change)
	if err != nil {
		return err
	}
	if last {
		return sess.New(sess.CodeConflict, "this would leave the organisation without an admin", "make somebody else org-admin first: sessctl grant add --user EMAIL --role org-admin")
	}
	return changeRules(ctx, tx)
}

// lastAdmin runs a change that takes something away, and says whether it took the last org admin away. Who is locked out for good
// is none.
func (s *Service) lastAdmin(ctx context.Context, tx *gate.Tx, change func() error) (bool, error) {
	org := tx.Who().Org
	if err := tx.Lock(ctx, "admins "+string(org)); err != nil {
		return false, err
	}
	before, err := adminsIn(ctx, tx)
	if err != nil {
		return false, err
	}
	if err := change(); err != nil {
		return false, err
	}
	after, err := adminsIn(ctx, tx)
	if err != nil {
		return false, err
	}
	return after == 0 && before > 0, nil
}

// receiver is a user or a group that is given a role.
type receiver struct {
	user sess.UserID
	team sess.TeamID
	name string
}

func (s *Service) findReceiver(ctx context.Context, tx *store.Tx, org sess.OrgID, user, group string) (receiver, error) {
	switch {
	case (user == "") == (group == ""):
		return receiver{}, sess.New(sess.CodeInvalid, "a role is given to a user or to a group", "name one of them: --user EMAIL or --group NAME")
	case user != "":
		m, err := s.findMember(ctx, tx, org, user)
		return receiver{user: m.UserID, name: m.Name}, err
	}
	t, err := findTeam(ctx, tx, org, group)
	if err != nil && isNotFound(err) {
		return receiver{}, sess.New(sess.CodeNotFound, fmt.Sprintf("no group %q", clip(group, maxName)), "sessctl group list shows them")
	}
	return receiver{team: t.ID, name: t.Name}, err
}

// CreateGrant gives a user or a group a role that the caller holds all of.
func (s *Service) CreateGrant(ctx context.Context, who sess.Principal, in api.GrantIn) (api.Grant, error) {
	var out api.Grant
	var p store.Project
	find := gate.Find{Type: policy.TypeProject, Name: clip(in.Body.Project, maxName), By: func(tx *gate.Tx) (policy.Resource, error) {
		on := policy.Resource{Org: who.Org, Type: policy.TypeGrant, Role: in.Body.Role, Name: clip(string(in.Body.Role), maxName)}
		if in.Body.Project == "" {
			return on, nil
		}
		var err error
		p, err = findProject(ctx, tx.Tx, who.Org, in.Body.Project)
		on.Project = p.ID
		return on, err
	}}
	err := s.gate.DoFind(ctx, who, policy.GrantCreate, find, func(tx *gate.Tx) error {
		to, err := s.findReceiver(ctx, tx.Tx, who.Org, in.Body.User, in.Body.Group)
		if err != nil {
			return err
		}
		id, err := s.give(ctx, tx, to, in.Body.Role, p.ID)
		if err != nil {
			return err
		}
		tx.On(policy.Resource{Org: who.Org, Project: p.ID, Type: policy.TypeGrant, ID: string(id), Role: in.Body.Role, Name: string(in.Body.Role)})
		out = api.Grant{ID: id, Role: in.Body.Role, Project: p.Name, CreatedAt: s.now().UTC()}
		if to.user != "" {
			out.User = to.name
		} else {
			out.Group = to.name
		}
		return nil
	})
	if err != nil {
		return api.Grant{}, err
	}
	return out, nil
}

// give gives a role, if there is such a one and who asks holds all of it. What somebody has already is no mistake.
func (s *Service) give(ctx context.Context, tx *gate.Tx, to receiver, role sess.Role, project sess.ProjectID) (sess.GrantID, error) {
	org := tx.Who().Org
	if err := checkRole(ctx, tx.Tx, org, role, project); err != nil {
		return "", err
	}
	if err := mayGive(tx, role, project); err != nil {
		return "", err
	}
	if project != "" {
		if err := tx.LockShared(ctx, projectLock(project)); err != nil {
			return "", err
		}
		if _, err := tx.GetProject(ctx, org, project); err != nil {
			return "", fmt.Errorf("load project: %w", err)
		}
	}
	id := sess.NewGrantID()
	n, err := tx.GiveRole(ctx, store.GiveRoleParams{
		Org: org, ID: id, UserID: to.user, Team: to.team, Role: role, Project: project, CreatedAt: store.Micros(s.now()),
	})
	if err != nil {
		return "", fmt.Errorf("give role: %w", err)
	}
	if n == 0 {
		if id, err = tx.FindGrant(ctx, store.FindGrantParams{Org: org, UserID: to.user, Team: to.team, Role: role, Project: project}); err != nil {
			return "", fmt.Errorf("look for grant: %w", err)
		}
	}
	tx.Detail("role", string(role))
	tx.Detail("to", to.name)
	if project != "" {
		tx.Detail("project", string(project))
	}
	return id, changeRules(ctx, tx)
}

// ListGrants lists what users and groups were given, newest first, as far as the caller may see it.
func (s *Service) ListGrants(ctx context.Context, who sess.Principal, in api.GrantsIn) (api.GrantList, error) {
	out := api.GrantList{Items: []api.Grant{}}
	err := s.gate.Read(ctx, who, policy.GrantList, policy.Org(who.Org), func(tx *gate.Tx) error {
		q, err := s.grantsQuery(ctx, tx, in)
		if err != nil {
			return err
		}
		rows, err := tx.ListGrants(ctx, q)
		if err != nil {
			return fmt.Errorf("list grants: %w", err)
		}
		for i, g := range rows {
			if i == int(q.Page)-1 {
				out.Next = store.Cursor{At: rows[i-1].CreatedAt, ID: string(rows[i-1].ID)}.String()
				break
			}
			if v := store.GetGrantRow(g); tx.Allowed(policy.GrantShow, grantResource(v)) {
				out.Items = append(out.Items, viewGrant(v))
			}
		}
		return nil
	})
	if err != nil {
		return api.GrantList{}, err
	}
	return out, nil
}

func (s *Service) grantsQuery(ctx context.Context, tx *gate.Tx, in api.GrantsIn) (q store.ListGrantsParams, err error) {
	limit, after, err := page(in.Page)
	if err != nil {
		return q, err
	}
	every, projects := scope(tx.Scope(policy.GrantShow, policy.TypeGrant))
	q = store.ListGrantsParams{
		Org: tx.Who().Org, BeforeAt: after.At, BeforeID: after.ID, EveryProject: every, Projects: projects, Page: int32(limit + 1), //nolint:gosec // at most a page
	}
	if in.User != "" {
		m, err := s.findMember(ctx, tx.Tx, q.Org, in.User)
		if err != nil {
			return q, err
		}
		q.Owner = string(m.UserID)
	}
	if in.Group != "" {
		to, err := s.findReceiver(ctx, tx.Tx, q.Org, "", in.Group)
		if err != nil {
			return q, err
		}
		q.OfTeam = string(to.team)
	}
	if in.Project != "" {
		p, err := findProject(ctx, tx.Tx, q.Org, in.Project)
		if err == nil && !tx.Allowed(policy.ProjectShow, projectResource(p)) {
			err = store.ErrNotFound
		}
		if err != nil && isNotFound(err) {
			return q, sess.New(sess.CodeNotFound, fmt.Sprintf("no project %q", clip(in.Project, maxName)), "sessctl project list shows them")
		} else if err != nil {
			return q, fmt.Errorf("look for project: %w", err)
		}
		q.OfProject = string(p.ID)
	}
	return q, nil
}

// grantsOf lists what one user was given directly, or one group, as far as the caller may see it.
func grantsOf(ctx context.Context, tx *gate.Tx, user sess.UserID, team sess.TeamID) ([]api.Grant, error) {
	first := store.FirstPage()
	rows, err := tx.ListGrants(ctx, store.ListGrantsParams{
		Org: tx.Who().Org, BeforeAt: first.At, BeforeID: first.ID, EveryProject: 1, Owner: string(user), OfTeam: string(team), Page: api.MaxPage,
	})
	if err != nil {
		return nil, fmt.Errorf("list grants: %w", err)
	}
	out := []api.Grant{}
	for _, g := range rows {
		if v := store.GetGrantRow(g); tx.Allowed(policy.GrantShow, grantResource(v)) {
			out = append(out, viewGrant(v))
		}
	}
	return out, nil
}

func grantResource(g store.GetGrantRow) policy.Resource {
	return policy.Resource{Org: g.Org, Project: g.Project, Type: policy.TypeGrant, ID: string(g.ID), Name: string(g.Role), Role: g.Role}
}

func viewGrant(g store.GetGrantRow) api.Grant {
	return api.Grant{ID: g.ID, User: g.UserName, Group: g.TeamName, Role: g.Role, Project: g.ProjectName, CreatedAt: store.Time(g.CreatedAt)}
}

// DeleteGrant takes a role away. Who takes it must hold all of it, as who gives it.
func (s *Service) DeleteGrant(ctx context.Context, who sess.Principal, in api.IDRef) error {
	var g store.GetGrantRow
	find := gate.Find{Type: policy.TypeGrant, Name: clip(in.ID, maxName), By: func(tx *gate.Tx) (on policy.Resource, err error) {
		g, err = tx.GetGrant(ctx, who.Org, sess.GrantID(in.ID))
		return grantResource(g), err
	}}
	return s.gate.DoFind(ctx, who, policy.GrantDelete, find, func(tx *gate.Tx) error {
		if err := mayGive(tx, g.Role, g.Project); err != nil {
			return err
		}
		tx.Detail("role", string(g.Role))
		tx.Detail("of", g.UserName+g.TeamName)
		return s.keepAdmin(ctx, tx, func() error {
			n, err := tx.TakeRole(ctx, g.Org, g.ID)
			if err != nil {
				return fmt.Errorf("take role: %w", err)
			}
			if n == 0 {
				return sess.New(sess.CodeNotFound, "this was taken away a moment ago", "sessctl grant list shows what there is")
			}
			return nil
		})
	})
}
