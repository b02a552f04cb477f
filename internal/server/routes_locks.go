package server

import "github.com/sessctl/sess/internal/api"

// routesLocks binds what locks are put and lifted by.
func (s *Server) routesLocks() {
	bind(s, api.AddLock, s.identity.AddLock)
	bind(s, api.ListLocks, s.identity.ListLocks)
	bind(s, api.GetLock, s.identity.GetLock)
	bind(s, api.RemoveLock, noOutIn(s.identity.RemoveLock))
	bind(s, api.EndSessions, s.broker.EndMany)
}
