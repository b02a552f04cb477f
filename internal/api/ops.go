package api

import "net/http"

// The operations of the API, in the order of the reference.
var (
	GetServer = Op[None, ServerInfo]{ID: "server", Method: http.MethodGet, Path: "/v1/server", Summary: "What this server is", Public: true}

	Login  = Op[LoginIn, LoginOut]{ID: "login", Method: http.MethodPost, Path: "/v1/login", Summary: "Log a person in", Public: true}
	Accept = Op[AcceptIn, LoginOut]{ID: "accept", Method: http.MethodPost, Path: "/v1/accept", Summary: "Accept an invitation and set a password", Public: true}
	Logout = Op[None, None]{ID: "logout", Method: http.MethodPost, Path: "/v1/logout", Summary: "End the login that asks"}
	Whoami = Op[None, WhoamiOut]{ID: "whoami", Method: http.MethodGet, Path: "/v1/whoami", Summary: "Who is asking, and what they may do"}

	CreateToken = Op[TokenIn, Token]{ID: "token-create", Method: http.MethodPost, Path: "/v1/tokens", Summary: "Make an enrolment token"}
	ListTokens  = Op[Page, TokenList]{ID: "token-list", Method: http.MethodGet, Path: "/v1/tokens", Summary: "List enrolment tokens"}
	DeleteToken = Op[IDRef, None]{ID: "token-delete", Method: http.MethodDelete, Path: "/v1/tokens/{id}", Summary: "Void an enrolment token"}
	Enrol       = Op[EnrolIn, EnrolOut]{ID: "enrol", Method: http.MethodPost, Path: "/v1/enrol", Summary: "Make a machine an instance", Public: true}

	ListInstances  = Op[InstancesIn, InstanceList]{ID: "instance-list", Method: http.MethodGet, Path: "/v1/instances", Summary: "List instances"}
	GetInstance    = Op[InstanceRef, Instance]{ID: "instance-show", Method: http.MethodGet, Path: "/v1/instances/{instance}", Summary: "Show an instance"}
	PatchInstance  = Op[InstancePatchIn, Instance]{ID: "instance-change", Method: http.MethodPatch, Path: "/v1/instances/{instance}", Summary: "Rename or label an instance"}
	RemoveInstance = Op[InstanceRef, None]{ID: "instance-remove", Method: http.MethodDelete, Path: "/v1/instances/{instance}", Summary: "Remove an instance; its agent can't come back without a new token"}

	StartSession  = Op[StartIn, Ticket]{ID: "session-start", Method: http.MethodPost, Path: "/v1/sessions", Summary: "Start a session"}
	ListSessions  = Op[SessionsIn, SessionList]{ID: "session-list", Method: http.MethodGet, Path: "/v1/sessions", Summary: "List sessions"}
	GetSession    = Op[SessionRef, Session]{ID: "session-show", Method: http.MethodGet, Path: "/v1/sessions/{session}", Summary: "Show a session"}
	ResumeSession = Op[ResumeIn, Ticket]{ID: "session-resume", Method: http.MethodPost, Path: "/v1/sessions/{session}/resume", Summary: "A fresh ticket for the session's own key", Public: true}
	AttachSession = Op[AttachIn, Ticket]{ID: "session-attach", Method: http.MethodPost, Path: "/v1/sessions/{session}/attach", Summary: "Take one's running session over"}
	EndSession    = Op[EndIn, Session]{ID: "session-end", Method: http.MethodPost, Path: "/v1/sessions/{session}/end", Summary: "End a session now"}

	CreateKey = Op[KeyIn, Key]{ID: "key-create", Method: http.MethodPost, Path: "/v1/keys", Summary: "Make an API key"}
	ListKeys  = Op[KeysIn, KeyList]{ID: "key-list", Method: http.MethodGet, Path: "/v1/keys", Summary: "List API keys"}
	DeleteKey = Op[IDRef, None]{ID: "key-delete", Method: http.MethodDelete, Path: "/v1/keys/{id}", Summary: "Delete an API key"}

	ListRecordings = Op[RecordingsIn, RecordingList]{ID: "recording-list", Method: http.MethodGet, Path: "/v1/recordings", Summary: "List recordings"}
	GetRecording   = Op[SessionRef, Recording]{ID: "recording-show", Method: http.MethodGet, Path: "/v1/recordings/{session}", Summary: "Show what is known of a recording"}
)

// Paths that answer with a stream of bytes or a WebSocket instead of JSON; they take the same login and give the same
// problem documents.
const (
	PathRecordingData   = "/v1/recordings/{session}/data"   // GET: the recording's records, package recording's stream format
	PathSessionCommands = "/v1/sessions/{session}/commands" // GET: the programs that ran, a sess.ProgramLine as JSON each line
	PathStream          = "/v1/stream"                      // WebSocket, subprotocol sess.v1
	PathAgent           = "/v1/agent"                       // WebSocket, subprotocol sess.agent.v1
)
