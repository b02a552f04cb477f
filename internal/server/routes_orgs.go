package server

import "github.com/sessctl/sess/internal/api"

// bindOrgs binds what is about organisations.
func (s *Server) bindOrgs() {
	bind(s, api.ListOrgs, noIn(s.identity.ListOrgs))
	bind(s, api.UseOrg, s.identity.UseOrg)
	bind(s, api.GetOrg, noIn(s.identity.GetOrg))
	bind(s, api.RenameOrg, s.identity.RenameOrg)
	bind(s, api.SetOrg, s.identity.SetOrg)
}
