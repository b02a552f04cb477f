package server

import "github.com/sessctl/sess/internal/api"

// routesPolicy binds what roles and policies are managed and explained by.
func (s *Server) routesPolicy() {
	bind(s, api.ListRoles, noIn(s.identity.ListRoles))
	bind(s, api.GetRole, s.identity.GetRole)
	bind(s, api.CreateRole, s.identity.CreateRole)
	bind(s, api.SetRole, s.identity.SetRole)
	bind(s, api.DeleteRole, noOutIn(s.identity.DeleteRole))

	bind(s, api.ListPolicies, noIn(s.identity.ListPolicies))
	bind(s, api.GetPolicy, s.identity.GetPolicy)
	bind(s, api.PutPolicy, s.identity.PutPolicy)
	bind(s, api.DeletePolicy, noOutIn(s.identity.DeletePolicy))
	bind(s, api.TestPolicy, s.identity.TestPolicy)
	bind(s, api.ExplainPolicy, s.identity.ExplainPolicy)

	bind(s, api.ListAccess, noIn(s.identity.ListAccess))
}
