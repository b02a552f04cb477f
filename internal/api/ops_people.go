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

// The operations on users and their passwords.
var (
	InviteUser     = Op[InviteIn, InviteOut]{ID: "user-invite", Method: http.MethodPost, Path: "/v1/users", Summary: "Invite a person"}
	ListUsers      = Op[UsersIn, UserList]{ID: "user-list", Method: http.MethodGet, Path: "/v1/users", Summary: "List users"}
	GetUser        = Op[UserRef, User]{ID: "user-show", Method: http.MethodGet, Path: "/v1/users/{user}", Summary: "Show a user"}
	PatchUser      = Op[UserPatchIn, User]{ID: "user-change", Method: http.MethodPatch, Path: "/v1/users/{user}", Summary: "Change a user's name and how long their credentials are valid"}
	ResetUser      = Op[UserRef, ResetOut]{ID: "user-reset", Method: http.MethodPost, Path: "/v1/users/{user}/reset", Summary: "Make a link with which a user sets a new password"}
	RevokeUser     = Op[UserRef, None]{ID: "user-revoke", Method: http.MethodPost, Path: "/v1/users/{user}/revoke", Summary: "End all logins, keys and live sessions of a user"}
	DeactivateUser = Op[UserRef, None]{ID: "user-deactivate", Method: http.MethodPost, Path: "/v1/users/{user}/deactivate", Summary: "Deactivate a user"}
	ReactivateUser = Op[UserRef, None]{ID: "user-reactivate", Method: http.MethodPost, Path: "/v1/users/{user}/reactivate", Summary: "Reactivate a user"}
	DeleteUser     = Op[UserRef, None]{ID: "user-delete", Method: http.MethodDelete, Path: "/v1/users/{user}", Summary: "Delete a user, for good"}

	LookInvite     = Op[InviteLookIn, InviteLookOut]{ID: "accept-look", Method: http.MethodPost, Path: "/v1/accept/look", Summary: "What an invitation is for", Public: true}
	ChangePassword = Op[PasswordIn, None]{ID: "password-change", Method: http.MethodPost, Path: "/v1/password", Summary: "Change one's password"}
	ForgotPassword = Op[ForgotIn, None]{ID: "password-forgot", Method: http.MethodPost, Path: "/v1/password/forgot", Summary: "Have a link mailed that sets a new password", Public: true}
	ResetPassword  = Op[ResetIn, ResetDone]{ID: "password-reset", Method: http.MethodPost, Path: "/v1/password/reset", Summary: "Set a new password by a link", Public: true}
)
