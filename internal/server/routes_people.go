package server

import (
	"context"
	"net/netip"

	"github.com/sessctl/sess/internal/api"
)

// bindPeople binds what is about users, groups, projects and grants.
func (s *Server) bindPeople() {
	bind(s, api.InviteUser, s.identity.InviteUser)
	bind(s, api.ListUsers, s.identity.ListUsers)
	bind(s, api.GetUser, s.identity.GetUser)
	bind(s, api.PatchUser, s.identity.PatchUser)
	bind(s, api.ResetUser, s.identity.ResetUser)
	bind(s, api.RevokeUser, noOutIn(s.identity.RevokeUser))
	bind(s, api.DeactivateUser, noOutIn(s.identity.DeactivateUser))
	bind(s, api.ReactivateUser, noOutIn(s.identity.ReactivateUser))
	bind(s, api.DeleteUser, noOutIn(s.identity.DeleteUser))

	bind(s, api.LookInvite, fromAddr(s.identity.LookInvite))
	bind(s, api.ChangePassword, noOutIn(s.identity.ChangePassword))
	bind(s, api.ForgotPassword, fromAddr(func(ctx context.Context, addr netip.Addr, in api.ForgotIn) (api.None, error) {
		return api.None{}, s.identity.ForgotPassword(ctx, addr, in)
	}))
	bind(s, api.ResetPassword, fromAddr(s.identity.ResetPassword))

	bind(s, api.CreateGroup, s.identity.CreateGroup)
	bind(s, api.ListGroups, s.identity.ListGroups)
	bind(s, api.GetGroup, s.identity.GetGroup)
	bind(s, api.DeleteGroup, noOutIn(s.identity.DeleteGroup))
	bind(s, api.AddToGroup, noOutIn(s.identity.AddToGroup))
	bind(s, api.DropOfGroup, noOutIn(s.identity.DropOfGroup))

	bind(s, api.CreateProject, s.identity.CreateProject)
	bind(s, api.ListProjects, s.identity.ListProjects)
	bind(s, api.GetProject, s.identity.GetProject)
	bind(s, api.PatchProject, s.identity.PatchProject)
	bind(s, api.DeleteProject, noOutIn(s.identity.DeleteProject))
	bind(s, api.MoveInstance, s.identity.MoveInstance)

	bind(s, api.CreateGrant, s.identity.CreateGrant)
	bind(s, api.ListGrants, s.identity.ListGrants)
	bind(s, api.DeleteGrant, noOutIn(s.identity.DeleteGrant))
}
