package api

import "net/http"

// The operations on groups, projects and grants.
var (
	CreateGroup = Op[GroupIn, Group]{ID: "group-create", Method: http.MethodPost, Path: "/v1/groups", Summary: "Make a group"}
	ListGroups  = Op[Page, GroupList]{ID: "group-list", Method: http.MethodGet, Path: "/v1/groups", Summary: "List groups"}
	GetGroup    = Op[GroupRef, Group]{ID: "group-show", Method: http.MethodGet, Path: "/v1/groups/{group}", Summary: "Show a group, who is in it and what it was given"}
	DeleteGroup = Op[GroupRef, None]{ID: "group-delete", Method: http.MethodDelete, Path: "/v1/groups/{group}", Summary: "Delete a group; what it was given goes with it"}
	AddToGroup  = Op[GroupUserRef, None]{ID: "group-add", Method: http.MethodPut, Path: "/v1/groups/{group}/users/{user}", Summary: "Put a user into a group"}
	DropOfGroup = Op[GroupUserRef, None]{ID: "group-remove", Method: http.MethodDelete, Path: "/v1/groups/{group}/users/{user}", Summary: "Take a user out of a group"}

	CreateProject = Op[ProjectIn, Project]{ID: "project-create", Method: http.MethodPost, Path: "/v1/projects", Summary: "Make a project"}
	ListProjects  = Op[Page, ProjectList]{ID: "project-list", Method: http.MethodGet, Path: "/v1/projects", Summary: "List projects"}
	GetProject    = Op[ProjectRef, Project]{ID: "project-show", Method: http.MethodGet, Path: "/v1/projects/{project}", Summary: "Show a project"}
	PatchProject  = Op[ProjectPatchIn, Project]{ID: "project-change", Method: http.MethodPatch, Path: "/v1/projects/{project}", Summary: "Rename a project"}
	DeleteProject = Op[ProjectRef, None]{ID: "project-delete", Method: http.MethodDelete, Path: "/v1/projects/{project}", Summary: "Delete an empty project"}
	MoveInstance  = Op[MoveIn, Instance]{ID: "instance-move", Method: http.MethodPost, Path: "/v1/instances/{instance}/move", Summary: "Move an instance to another project"}

	CreateGrant = Op[GrantIn, Grant]{ID: "grant-create", Method: http.MethodPost, Path: "/v1/grants", Summary: "Give a user or a group a role"}
	ListGrants  = Op[GrantsIn, GrantList]{ID: "grant-list", Method: http.MethodGet, Path: "/v1/grants", Summary: "List what users and groups were given"}
	DeleteGrant = Op[IDRef, None]{ID: "grant-delete", Method: http.MethodDelete, Path: "/v1/grants/{id}", Summary: "Take a role away"}
)
