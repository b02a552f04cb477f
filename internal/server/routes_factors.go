package server

import "github.com/sessctl/sess/internal/api"

// bindFactors binds what is about second factors and the limits on logins.
func (s *Server) bindFactors() {
	bind(s, api.LoginMFA, fromAddr(s.identity.LoginMFA))
	bind(s, api.ListFactors, noIn(s.identity.ListFactors))
	bind(s, api.VerifyMFA, s.identity.VerifyMFA)
	bind(s, api.EnrolMFA, noIn(s.identity.EnrolMFA))
	bind(s, api.ConfirmMFA, s.identity.ConfirmMFA)
	bind(s, api.RemoveMFA, noOutIn(s.identity.RemoveMFA))
	bind(s, api.MakeRecoveryCodes, s.identity.MakeRecoveryCodes)
	bind(s, api.ResetMFA, noOutIn(s.identity.ResetMFA))
	bind(s, api.UnlockUser, noOutIn(s.identity.UnlockUser))
}
