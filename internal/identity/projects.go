package identity

import (
	"context"
	"fmt"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// projectLock names the lock that a transaction shares while it puts something into a project, and holds alone while it
// deletes one.
func projectLock(id sess.ProjectID) string { return "project " + string(id) }

// findProjectFor finds a project for the gate, and keeps it in into.
func findProjectFor(ctx context.Context, org sess.OrgID, ref string, into *store.Project) gate.Find {
	return gate.Find{Type: policy.TypeProject, Name: clip(ref, maxName), By: func(tx *gate.Tx) (on policy.Resource, err error) {
		*into, err = findProject(ctx, tx.Tx, org, ref)
		return projectResource(*into), err
	}}
}

func projectResource(p store.Project) policy.Resource {
	return policy.Resource{Org: p.Org, Project: p.ID, Type: policy.TypeProject, ID: string(p.ID), Name: p.Name}
}

// CreateProject makes an empty project.
func (s *Service) CreateProject(ctx context.Context, who sess.Principal, in api.ProjectIn) (api.Project, error) {
	var out api.Project
	err := s.gate.Do(ctx, who, policy.ProjectCreate, policy.Org(who.Org), func(tx *gate.Tx) error {
		if err := checkPlainName("project", in.Body.Name); err != nil {
			return err
		}
		p := store.Project{Org: who.Org, ID: sess.NewProjectID(), Name: in.Body.Name, CreatedAt: store.Micros(s.now())}
		n, err := tx.AddProject(ctx, p.Org, p.ID, p.Name, p.CreatedAt)
		if err != nil {
			return fmt.Errorf("create project: %w", err)
		}
		if n == 0 {
			return errProjectTaken(p.Name)
		}
		tx.On(projectResource(p))
		out = api.Project{ID: p.ID, Name: p.Name, CreatedAt: store.Time(p.CreatedAt)}
		return changeRules(ctx, tx)
	})
	if err != nil {
		return api.Project{}, err
	}
	return out, nil
}

func errProjectTaken(name string) *sess.Error {
	return sess.New(sess.CodeConflict, fmt.Sprintf("there is a project named %s already", name), "take another name")
}

// ListProjects lists the projects that the caller may see, newest first.
func (s *Service) ListProjects(ctx context.Context, who sess.Principal, in api.Page) (api.ProjectList, error) {
	out := api.ProjectList{Items: []api.Project{}}
	err := s.gate.Read(ctx, who, policy.ProjectList, policy.Org(who.Org), func(tx *gate.Tx) error {
		limit, after, err := page(in)
		if err != nil {
			return err
		}
		rows, err := tx.PageProjects(ctx, who.Org, after.At, after.ID, int32(limit+1)) //nolint:gosec // at most a page
		if err != nil {
			return fmt.Errorf("list projects: %w", err)
		}
		for i, p := range rows {
			if i == limit {
				out.Next = store.Cursor{At: rows[i-1].CreatedAt, ID: string(rows[i-1].ID)}.String()
				break
			}
			on := policy.Resource{Org: p.Org, Project: p.ID, Type: policy.TypeProject, ID: string(p.ID), Name: p.Name}
			if tx.Allowed(policy.ProjectShow, on) {
				out.Items = append(out.Items, api.Project{ID: p.ID, Name: p.Name, Instances: int(p.Instances), CreatedAt: store.Time(p.CreatedAt)})
			}
		}
		return nil
	})
	if err != nil {
		return api.ProjectList{}, err
	}
	return out, nil
}

// GetProject shows a project.
func (s *Service) GetProject(ctx context.Context, who sess.Principal, in api.ProjectRef) (api.Project, error) {
	var p store.Project
	var out api.Project
	err := s.gate.ReadFind(ctx, who, policy.ProjectShow, findProjectFor(ctx, who.Org, in.Project, &p), func(tx *gate.Tx) (err error) {
		out, err = s.viewProject(ctx, tx, p)
		return err
	})
	if err != nil {
		return api.Project{}, err
	}
	return out, nil
}

func (s *Service) viewProject(ctx context.Context, tx *gate.Tx, p store.Project) (api.Project, error) {
	n, err := tx.CountInProject(ctx, store.Micros(s.now()), p.Org, p.ID)
	if err != nil {
		return api.Project{}, fmt.Errorf("count instances of project: %w", err)
	}
	return api.Project{ID: p.ID, Name: p.Name, Instances: int(n.Instances), CreatedAt: store.Time(p.CreatedAt)}, nil
}

// PatchProject renames a project.
func (s *Service) PatchProject(ctx context.Context, who sess.Principal, in api.ProjectPatchIn) (api.Project, error) {
	var p store.Project
	var out api.Project
	err := s.gate.DoFind(ctx, who, policy.ProjectChange, findProjectFor(ctx, who.Org, in.Project, &p), func(tx *gate.Tx) error {
		if err := checkPlainName("project", in.Body.Name); err != nil {
			return err
		}
		// Names are given under this lock, or by an insert that minds the others.
		if err := tx.Lock(ctx, "project names "+string(p.Org)); err != nil {
			return err
		}
		if other, err := tx.GetProjectByName(ctx, p.Org, in.Body.Name); err == nil && other.ID != p.ID {
			return errProjectTaken(in.Body.Name)
		} else if err != nil && !isNotFound(err) {
			return fmt.Errorf("look for project: %w", err)
		}
		if _, err := tx.RenameProject(ctx, p.Org, p.ID, in.Body.Name); err != nil {
			return fmt.Errorf("rename project: %w", err)
		}
		tx.Detail("old_name", p.Name)
		tx.Detail("new_name", in.Body.Name)
		p.Name = in.Body.Name
		var err error
		if out, err = s.viewProject(ctx, tx, p); err != nil {
			return err
		}
		return changeRules(ctx, tx)
	})
	if err != nil {
		if store.IsUnique(err) { // made under that name at this moment
			err = errProjectTaken(in.Body.Name)
		}
		return api.Project{}, err
	}
	return out, nil
}

// DeleteProject deletes a project that has no instances, and no token by which some may come. The roles given on it go with
// it; what ran in it is told of still.
func (s *Service) DeleteProject(ctx context.Context, who sess.Principal, in api.ProjectRef) error {
	var p store.Project
	return s.gate.DoFind(ctx, who, policy.ProjectDelete, findProjectFor(ctx, who.Org, in.Project, &p), func(tx *gate.Tx) error {
		if err := tx.Lock(ctx, projectLock(p.ID)); err != nil {
			return err
		}
		n, err := tx.CountInProject(ctx, store.Micros(s.now()), p.Org, p.ID)
		switch {
		case err != nil:
			return fmt.Errorf("look into project: %w", err)
		case n.Instances > 0:
			return sess.New(sess.CodeConflict, fmt.Sprintf("the project %s has instances: %d", p.Name, n.Instances), "move them to another project or remove them first: sessctl instance move")
		case n.Tokens > 0:
			return sess.New(sess.CodeConflict, fmt.Sprintf("the project %s has enrolment tokens that still work: %d", p.Name, n.Tokens), "delete them first: sessctl token list")
		}
		gone, err := tx.TakeRolesOnProject(ctx, p.Org, p.ID)
		if err != nil {
			return fmt.Errorf("take roles on project: %w", err)
		}
		tx.Detail("grants", fmt.Sprint(gone))
		if _, err := tx.DeleteProject(ctx, p.Org, p.ID); err != nil {
			return fmt.Errorf("delete project: %w", err)
		}
		return changeRules(ctx, tx)
	})
}

// MoveInstance moves an instance to another project, on both of which the caller may do so. Who may reach it changes at
// once; what runs on it goes with it.
func (s *Service) MoveInstance(ctx context.Context, who sess.Principal, in api.MoveIn) (api.Instance, error) {
	var found Found
	var out api.Instance
	err := s.gate.DoFind(ctx, who, policy.InstanceMove, s.FindInstance(ctx, who.Org, in.Instance, &found), func(tx *gate.Tx) error {
		p, err := s.moveTo(ctx, tx, &found, in.Body.Project)
		if err != nil {
			return err
		}
		if _, err := tx.MoveInstance(ctx, found.Org, found.ID, p.ID); err != nil {
			return fmt.Errorf("move instance: %w", err)
		}
		n, err := tx.MoveLiveSessions(ctx, found.Org, found.ID, p.ID)
		if err != nil {
			return fmt.Errorf("move live sessions: %w", err)
		}
		tx.Detail("from_project", string(found.Project))
		tx.Detail("to_project", string(p.ID))
		tx.Detail("sessions", fmt.Sprint(n))
		found.Project = p.ID
		if out, err = view(ctx, tx, found); err != nil {
			return err
		}
		return changeRules(ctx, tx)
	})
	if err != nil {
		return api.Instance{}, err
	}
	return out, nil
}

// moveTo finds the project that an instance is to go to: one that the caller may move instances to.
func (s *Service) moveTo(ctx context.Context, tx *gate.Tx, f *Found, ref string) (store.Project, error) {
	p, err := findProject(ctx, tx.Tx, f.Org, ref)
	if err != nil && !isNotFound(err) {
		return p, fmt.Errorf("look for project: %w", err)
	}
	there := *f
	there.Project = p.ID
	if err != nil || !tx.Allowed(policy.ProjectShow, projectResource(p)) {
		return p, sess.New(sess.CodeNotFound, fmt.Sprintf("no project %q that you may see", clip(ref, maxName)), "sessctl project list shows what you may see")
	}
	if !tx.Allowed(policy.InstanceMove, there.Resource()) {
		return p, sess.New(sess.CodeDenied, "you may not move instances to project "+p.Name, "ask for the role project-admin on both projects")
	}
	if err := tx.LockShared(ctx, projectLock(p.ID)); err != nil {
		return p, err
	}
	if _, err := tx.GetProject(ctx, p.Org, p.ID); err != nil { // deleted while we waited
		return p, sess.New(sess.CodeNotFound, "the project "+p.Name+" was deleted a moment ago", "")
	}
	return p, nil
}
