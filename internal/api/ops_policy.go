package api

import "net/http"

// The operations on roles and policies.
var (
	ListRoles  = Op[None, RoleList]{ID: "role-list", Method: http.MethodGet, Path: "/v1/roles", Summary: "List roles"}
	GetRole    = Op[RoleRef, Role]{ID: "role-show", Method: http.MethodGet, Path: "/v1/roles/{role}", Summary: "Show a role and the policy it means"}
	CreateRole = Op[RoleIn, Role]{ID: "role-create", Method: http.MethodPost, Path: "/v1/roles", Summary: "Make a role of the organisation's own"}
	SetRole    = Op[RoleSetIn, Role]{ID: "role-set", Method: http.MethodPatch, Path: "/v1/roles/{role}", Summary: "Change a role of the organisation's own"}
	DeleteRole = Op[RoleRef, None]{ID: "role-delete", Method: http.MethodDelete, Path: "/v1/roles/{role}", Summary: "Delete a role that nobody holds"}

	ListPolicies  = Op[None, PolicyList]{ID: "policy-list", Method: http.MethodGet, Path: "/v1/policies", Summary: "List policies"}
	GetPolicy     = Op[PolicyRef, Policy]{ID: "policy-show", Method: http.MethodGet, Path: "/v1/policies/{policy}", Summary: "Show a policy"}
	PutPolicy     = Op[PolicyPutIn, Policy]{ID: "policy-put", Method: http.MethodPut, Path: "/v1/policies/{policy}", Summary: "Write a policy"}
	DeletePolicy  = Op[PolicyRef, None]{ID: "policy-delete", Method: http.MethodDelete, Path: "/v1/policies/{policy}", Summary: "Delete a policy"}
	TestPolicy    = Op[PolicyTestIn, PolicyTestOut]{ID: "policy-test", Method: http.MethodPost, Path: "/v1/policy-test", Summary: "Hold the rules against a table of expectations"}
	ExplainPolicy = Op[ExplainIn, Explanation]{ID: "policy-explain", Method: http.MethodPost, Path: "/v1/policy-explain", Summary: "Why something is, or was, allowed or denied"}

	ListAccess = Op[None, AccessList]{ID: "access-list", Method: http.MethodGet, Path: "/v1/access", Summary: "The instances that the caller can reach, and what they may do there"}
)
