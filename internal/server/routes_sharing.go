package server

import "github.com/sessctl/sess/internal/api"

// routesSharing binds what is about who is in a session beside its owner.
func (s *Server) routesSharing() {
	bind(s, api.JoinSession, s.broker.Join)
	bind(s, api.AwaitAnswer, s.broker.AwaitAnswer)
	bind(s, api.AnswerAsk, s.broker.Answer)
	bind(s, api.KickGuest, s.broker.Kick)
	bind(s, api.ShareSession, s.broker.Share)
	bind(s, api.ListShares, s.broker.Shares)
	bind(s, api.UnshareSession, noOutIn(s.broker.Unshare))
	bind(s, api.OpenShare, s.broker.OpenShare)
}
