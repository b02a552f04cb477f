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

// CreateMachine makes a machine user: a program that has API keys, and no password, second factor or console. With a
// role, it is granted on the organisation or on a project.
func (s *Service) CreateMachine(ctx context.Context, who sess.Principal, in api.MachineIn) (api.Machine, error) {
	var out api.Machine
	on := policy.Org(who.Org)
	err := s.gate.Do(ctx, who, policy.MachineCreate, on, func(tx *gate.Tx) error {
		if in.Body.Role == "" && in.Body.Project != "" {
			return sess.New(sess.CodeInvalid, "a project without a role says nothing", "give both, as in --role operator --project "+clip(in.Body.Project, maxName))
		}
		m, err := s.newMachine(ctx, tx, in.Body.Name)
		if err != nil {
			return err
		}
		out = api.Machine{User: m.UserID, Name: m.Name, Grants: []api.GrantOut{}, CreatedAt: store.Time(m.CreatedAt)}
		if in.Body.Role == "" {
			return nil
		}
		g, err := s.grantMachine(ctx, tx, m, in.Body.Role, in.Body.Project)
		out.Grants = append(out.Grants, g)
		return err
	})
	if err != nil {
		return api.Machine{}, err
	}
	return out, nil
}

// newMachine makes the member of a machine user.
func (s *Service) newMachine(ctx context.Context, tx *gate.Tx, name string) (store.Member, error) {
	org, now := tx.Who().Org, store.Micros(s.now())
	m := store.Member{Org: org, UserID: sess.NewUserID(), Kind: sess.UserMachine, Name: name, Active: 1, CreatedAt: now}
	if !machineName.MatchString(name) {
		return m, sess.New(sess.CodeInvalid, "this can't be the name of a machine user", "use up to 64 of a-z, 0-9, '.', '_' and '-', beginning and ending with a letter or digit")
	}
	n, err := tx.CreateMember(ctx, store.CreateMemberParams{Org: org, UserID: m.UserID, Kind: m.Kind, Name: name, CreatedAt: now})
	if err != nil {
		return m, fmt.Errorf("create machine user: %w", err)
	}
	if n == 0 {
		return m, sess.New(sess.CodeConflict, "there is a user named "+name+" already", "take another name; for a key of that machine user: sessctl key create --user "+name)
	}
	tx.Detail("machine_user", name)
	tx.Detail("machine_user_id", string(m.UserID))
	return m, nil
}

// grantMachine gives a new machine user its first role.
func (s *Service) grantMachine(ctx context.Context, tx *gate.Tx, m store.Member, role sess.Role, project string) (api.GrantOut, error) {
	var where sess.ProjectID
	out := api.GrantOut{Role: role}
	if project != "" {
		p, err := findProject(ctx, tx.Tx, m.Org, project)
		if err != nil && isNotFound(err) {
			return out, sess.New(sess.CodeNotFound, fmt.Sprintf("no project %q in this organisation", clip(project, maxName)), "leave it out for the whole organisation")
		} else if err != nil {
			return out, fmt.Errorf("look for project: %w", err)
		}
		where, out.Project = p.ID, p.Name
	}
	on := policy.Resource{Org: m.Org, Project: where, Type: policy.TypeGrant, Role: role}
	if !tx.Allowed(policy.GrantCreate, on) {
		return out, sess.New(sess.CodeDenied, "you may not give the role "+string(role)+" there", "leave the role out, and ask an admin of the organisation to give it")
	}
	if _, err := s.give(ctx, tx, receiver{user: m.UserID, name: m.Name}, role, where); err != nil {
		return out, err
	}
	return out, nil
}

// machine finds the machine user of that name, or makes one with the role on the whole organisation: operator, when none
// is named.
func (s *Service) machine(ctx context.Context, tx *gate.Tx, name string, role sess.Role) (store.Member, error) {
	m, err := tx.GetMemberByName(ctx, tx.Who().Org, name)
	switch {
	case err == nil && m.Kind != sess.UserMachine:
		return m, sess.New(sess.CodeConflict, name+" is no machine user", "people make their own keys; give the machine user another name")
	case err == nil && m.Active == 0:
		return m, activeMachine(m)
	case err == nil:
		if err := s.sameRole(ctx, tx, m, role); err != nil {
			return m, err
		}
		return m, mayActAs(ctx, tx, m)
	case !isNotFound(err):
		return m, fmt.Errorf("look for machine user: %w", err)
	}
	if !tx.Allowed(policy.MachineCreate, policy.Org(tx.Who().Org)) {
		return m, sess.New(sess.CodeDenied, "there is no machine user "+clip(name, maxName)+", and you may not make one", "ask an admin of the organisation")
	}
	if role == "" {
		role = sess.RoleOperator
	}
	if m, err = s.newMachine(ctx, tx, name); err != nil {
		return m, err
	}
	_, err = s.grantMachine(ctx, tx, m, role, "")
	return m, err
}

// activeMachine refuses a key for somebody who could not use it.
func activeMachine(m store.Member) error {
	if m.Active == 1 && m.DeletedAt == nil {
		return nil
	}
	return sess.New(sess.CodeConflict, m.Name+" is not active", "activate it first: sessctl user reactivate "+m.Name)
}

// sameRole refuses a role that an existing machine user does not have: making a key is no way to change roles unseen.
func (s *Service) sameRole(ctx context.Context, tx *gate.Tx, m store.Member, role sess.Role) error {
	if role == "" {
		return nil
	}
	grants, err := tx.ListGrantsOfUser(ctx, m.Org, m.UserID)
	if err != nil {
		return fmt.Errorf("load grants: %w", err)
	}
	for _, g := range grants {
		if g.Role == role && g.Project == "" {
			return nil
		}
	}
	return sess.New(sess.CodeConflict, fmt.Sprintf("the machine user %s exists and has another role", m.Name), "leave the role out")
}

// mayActAs refuses a machine user's key to whoever could not give it the roles it has: who holds the key acts with them.
func mayActAs(ctx context.Context, tx *gate.Tx, m store.Member) error {
	grants, err := tx.ListGrantsOfUser(ctx, m.Org, m.UserID)
	if err != nil {
		return fmt.Errorf("load grants: %w", err)
	}
	for _, g := range grants {
		if !tx.Allowed(policy.GrantCreate, policy.Resource{Org: m.Org, Project: g.Project, Type: policy.TypeGrant, Role: g.Role}) {
			return sess.New(sess.CodeDenied, fmt.Sprintf("the machine user %s has the role %s, which you may not give", m.Name, g.Role), "ask an admin of the organisation")
		}
		if err := mayGive(tx, g.Role, g.Project); err != nil {
			return err
		}
	}
	return nil
}
