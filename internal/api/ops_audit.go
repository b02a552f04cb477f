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

// The downloads of the audit log: streams, no operations with JSON answers.
const (
	PathAuditExport = "/v1/audit/export" // GET: a file, as AuditExportIn says
	PathAuditWatch  = "/v1/audit/watch"  // GET: AuditWatchLine after AuditWatchLine, as AuditWatchIn says
)
