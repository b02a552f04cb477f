package server

import (
	"net/http"

	"github.com/sessctl/sess/internal/api"
)

// routes binds everything sess-server answers to.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	s.api = s.newAPI(mux)

	bind(s, api.GetServer, s.serverInfo)

	bind(s, api.Login, fromAddr(s.identity.Login))
	bind(s, api.Accept, fromAddr(s.identity.Accept))
	bind(s, api.Logout, noIn(noOut(s.identity.Logout)))
	bind(s, api.Whoami, noIn(s.identity.Whoami))

	s.routesIDP()
	s.routesPolicy()
	s.routesLocks()
	s.routesSharing()

	bind(s, api.CreateToken, s.identity.CreateToken)
	bind(s, api.ListTokens, s.identity.ListTokens)
	bind(s, api.DeleteToken, noOutIn(s.identity.DeleteToken))
	bind(s, api.Enrol, fromAddr(s.identity.Enrol))

	bind(s, api.ListInstances, s.identity.ListInstances)
	bind(s, api.GetInstance, s.identity.GetInstance)
	bind(s, api.PatchInstance, s.identity.PatchInstance)
	bind(s, api.RemoveInstance, noOutIn(s.identity.RemoveInstance))

	bind(s, api.StartSession, s.broker.Start)
	bind(s, api.ListSessions, s.broker.List)
	bind(s, api.GetSession, s.broker.Show)
	bind(s, api.ResumeSession, s.broker.Resume)
	bind(s, api.AttachSession, s.broker.Attach)
	bind(s, api.EndSession, s.broker.End)

	bind(s, api.CreateKey, s.identity.CreateKey)
	bind(s, api.ListKeys, s.identity.ListKeys)
	bind(s, api.DeleteKey, noOutIn(s.identity.DeleteKey))

	bind(s, api.RotateKey, s.identity.RotateKey)
	bind(s, api.CreateMachine, s.identity.CreateMachine)
	s.bindPeople()
	s.bindOrgs()
	s.bindFactors()
	s.bindUsage()
	s.bindAlerts()

	bind(s, api.ListRecordings, s.listRecordings)
	bind(s, api.GetRecording, s.showRecording)

	s.routesAudit(mux)

	s.routesRecordings(mux)
	s.routesPages(mux, s.pages)
	mux.HandleFunc("GET "+api.PathStream, s.serveStream)
	mux.HandleFunc("GET "+api.PathAgent, s.serveControl)
	mux.HandleFunc("GET "+api.PathRecordingData, s.download(s.recordingData))
	mux.HandleFunc("GET "+api.PathSessionCommands, s.download(s.sessionCommands))

	mux.HandleFunc("GET /install.sh", s.serveInstall)
	mux.HandleFunc("GET /agent/{name}", s.serveAgent)
	mux.HandleFunc("GET /healthz", s.serveHealth)
	mux.HandleFunc("GET /readyz", s.serveReady)
	mux.HandleFunc("/", s.notFound)
	return s.outer(mux)
}
