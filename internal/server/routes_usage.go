package server

import "github.com/sessctl/sess/internal/api"

// bindUsage binds what is about usage.
func (s *Server) bindUsage() {
	bind(s, api.ShowUsage, s.broker.Usage)
}
