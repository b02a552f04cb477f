package server

import "github.com/sessctl/sess/internal/api"

// bindAlerts binds what is about alerts.
func (s *Server) bindAlerts() {
	bind(s, api.AddAlertHook, s.alerts.Add)
	bind(s, api.ListAlertHooks, noIn(s.alerts.List))
	bind(s, api.GetAlertHook, s.alerts.Show)
	bind(s, api.TestAlertHook, s.alerts.Test)
	bind(s, api.RemoveAlertHook, noOutIn(s.alerts.Remove))
}
