package api

import "net/http"

// The operations on organisations.
var (
	ListOrgs  = Op[None, OrgList]{ID: "org-list", Method: http.MethodGet, Path: "/v1/orgs", Summary: "List the organisations that one is in"}
	UseOrg    = Op[OrgUseIn, LoginOut]{ID: "org-use", Method: http.MethodPost, Path: "/v1/orgs/{org}/use", Summary: "Get a login in another organisation that one is in"}
	GetOrg    = Op[None, Org]{ID: "org-show", Method: http.MethodGet, Path: "/v1/org", Summary: "Show the organisation and what is set for it"}
	RenameOrg = Op[OrgRenameIn, Org]{ID: "org-rename", Method: http.MethodPatch, Path: "/v1/org", Summary: "Rename the organisation"}
	SetOrg    = Op[OrgSetIn, Org]{ID: "org-set", Method: http.MethodPatch, Path: "/v1/org/settings", Summary: "Change what is set for the organisation"}
)
