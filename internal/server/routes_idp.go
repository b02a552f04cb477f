package server

import (
	"context"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// routesIDP binds what sets identity providers up, and logins by a browser.
func (s *Server) routesIDP() {
	bind(s, api.CreateIDP, s.identity.CreateIDP)
	bind(s, api.ListIDPs, noIn(s.identity.ListIDPs))
	bind(s, api.GetIDP, s.identity.GetIDP)
	bind(s, api.PatchIDP, s.identity.PatchIDP)
	bind(s, api.RemoveIDP, noOutIn(s.identity.RemoveIDP))
	bind(s, api.TestIDP, s.identity.TestIDP)

	bind(s, api.StartDevice, fromAddr(s.identity.StartDevice))
	bind(s, api.RedeemLogin, fromAddr(s.identity.RedeemLogin))
}

// serverInfo says what this server is, and whether a browser may be needed to log in.
func (s *Server) serverInfo(ctx context.Context, _ sess.Principal, _ api.None) (api.ServerInfo, error) {
	info := s.info
	var err error
	info.BrowserLogin, err = s.identity.AnyIDP(ctx)
	return info, err
}
