package server

import "github.com/sessctl/sess/internal/api"

// bindPeople binds what is about groups, projects and grants.
func (s *Server) bindPeople() {
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
