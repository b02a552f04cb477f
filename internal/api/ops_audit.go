package api

import "net/http"

// The operations on the audit log.
var (
	ListAudit   = Op[AuditIn, AuditList]{ID: "audit-list", Method: http.MethodGet, Path: "/v1/audit", Summary: "List audit events, newest first"}
	GetAudit    = Op[AuditRef, AuditEvent]{ID: "audit-show", Method: http.MethodGet, Path: "/v1/audit/events/{event}", Summary: "Show an audit event"}
	VerifyAudit = Op[None, AuditVerifyOut]{ID: "audit-verify", Method: http.MethodGet, Path: "/v1/audit/verify", Summary: "Have the server check its audit log"}

	GetCheckpoint    = Op[None, Checkpoint]{ID: "audit-checkpoint", Method: http.MethodGet, Path: "/v1/audit/checkpoint", Summary: "The newest signed checkpoint of the audit log"}
	ProveEvent       = Op[ProveIn, AuditProof]{ID: "audit-prove", Method: http.MethodGet, Path: "/v1/audit/events/{event}/proof", Summary: "Prove that an event is in the audit log"}
	ProveConsistency = Op[ConsistencyIn, AuditProof]{ID: "audit-consistency", Method: http.MethodGet, Path: "/v1/audit/consistency", Summary: "Prove that the audit log only grew between two sizes"}
)

// The operations on where the audit log is streamed to.
var (
	CreateSink = Op[SinkIn, SinkAdded]{ID: "sink-create", Method: http.MethodPost, Path: "/v1/audit/sinks", Summary: "Have the audit log streamed to a webhook or by syslog"}
	ListSinks  = Op[None, SinkList]{ID: "sink-list", Method: http.MethodGet, Path: "/v1/audit/sinks", Summary: "List where the audit log is streamed, newest first"}
	GetSink    = Op[SinkRef, Sink]{ID: "sink-show", Method: http.MethodGet, Path: "/v1/audit/sinks/{sink}", Summary: "Show where the audit log is streamed, and how far"}
	TestSink   = Op[SinkRef, SinkTestOut]{ID: "sink-test", Method: http.MethodPost, Path: "/v1/audit/sinks/{sink}/test", Summary: "Send a test message to where the audit log is streamed"}
	RemoveSink = Op[SinkRef, None]{ID: "sink-remove", Method: http.MethodDelete, Path: "/v1/audit/sinks/{sink}", Summary: "End the streaming of the audit log to a place"}
)

// The downloads of the audit log: streams, no operations with JSON answers.
const (
	PathAuditExport = "/v1/audit/export" // GET: a file, as AuditExportIn says
	PathAuditWatch  = "/v1/audit/watch"  // GET: AuditWatchLine after AuditWatchLine, as AuditWatchIn says
)
