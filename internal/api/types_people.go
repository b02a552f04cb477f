package api

import (
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// Group is a group of users.
type Group struct {
	ID        sess.TeamID `json:"id"`
	Name      string      `json:"name"`
	Members   int         `json:"members"`
	CreatedAt time.Time   `json:"created_at"`
	// Users and Grants are in the answer that shows one group.
	Users  []GroupUser `json:"users,omitempty"`
	Grants []Grant     `json:"grants,omitempty"`
}

// GroupUser is somebody in a group. Who is in it both by hand and by the identity provider stands there twice.
type GroupUser struct {
	User   sess.UserID   `json:"user"`
	Name   string        `json:"name"`
	Kind   sess.UserKind `json:"kind"`
	Active bool          `json:"active"`
	Source string        `json:"source"` // hand, idp
}

// GroupList is a page of groups, newest first.
type GroupList struct {
	Items []Group `json:"items"`
	Next  string  `json:"next,omitempty"`
}

// GroupIn makes a group.
type GroupIn struct {
	Body struct {
		Name string `json:"name" maxLength:"128"`
	}
}

// GroupRef names a group by name or id.
type GroupRef struct {
	Group string `path:"group" maxLength:"128"`
}

// GroupUserRef names somebody and a group.
type GroupUserRef struct {
	GroupRef
	User string `path:"user" maxLength:"254" doc:"E-mail address, name of a machine user, or id"`
}

// Project is a set of instances.
type Project struct {
	ID        sess.ProjectID `json:"id"`
	Name      string         `json:"name"`
	Instances int            `json:"instances"`
	CreatedAt time.Time      `json:"created_at"`
}

// ProjectList is a page of projects, newest first.
type ProjectList struct {
	Items []Project `json:"items"`
	Next  string    `json:"next,omitempty"`
}

// ProjectIn makes a project.
type ProjectIn struct {
	Body struct {
		Name string `json:"name" maxLength:"64"`
	}
}

// ProjectRef names a project by name or id.
type ProjectRef struct {
	Project string `path:"project" maxLength:"64"`
}

// ProjectPatchIn renames a project.
type ProjectPatchIn struct {
	ProjectRef
	Body struct {
		Name string `json:"name" maxLength:"64"`
	}
}

// MoveIn moves an instance to another project.
type MoveIn struct {
	InstanceRef
	Body struct {
		Project string `json:"project" maxLength:"64" doc:"Name or id"`
	}
}

// Grant is a role that a user or a group was given, on the whole organisation or on one project.
type Grant struct {
	ID        sess.GrantID `json:"id"`
	User      string       `json:"user,omitempty"`  // name; empty: a group's
	Group     string       `json:"group,omitempty"` // name
	Role      sess.Role    `json:"role"`
	Project   string       `json:"project,omitempty"` // name; empty: the whole organisation
	CreatedAt time.Time    `json:"created_at"`
}

// GrantList is a page of grants, newest first.
type GrantList struct {
	Items []Grant `json:"items"`
	Next  string  `json:"next,omitempty"`
}

// GrantIn gives a role.
type GrantIn struct {
	Body struct {
		User    string    `json:"user,omitempty" maxLength:"254" doc:"E-mail address, name of a machine user, or id; or a group"`
		Group   string    `json:"group,omitempty" maxLength:"128" doc:"Name or id"`
		Role    sess.Role `json:"role" maxLength:"64"`
		Project string    `json:"project,omitempty" maxLength:"64" doc:"Name or id; empty means the whole organisation"`
	}
}

// GrantsIn asks for grants.
type GrantsIn struct {
	Page
	User    string `query:"user" maxLength:"254" doc:"Only those given to this user directly"`
	Group   string `query:"group" maxLength:"128"`
	Project string `query:"project" maxLength:"64"`
}

// UserState is where a user stands in an organisation.
type UserState string

// The states of users.
const (
	UserActive      UserState = "active"
	UserInvited     UserState = "invited"     // has not accepted, or has not changed the temporary password
	UserDeactivated UserState = "deactivated" // reversible
	UserDeleted     UserState = "deleted"     // not
)

// User is a person or machine user, as a member of an organisation.
type User struct {
	ID           sess.UserID   `json:"id"`
	Name         string        `json:"name"`                // e-mail address, or the machine user's name
	FullName     string        `json:"full_name,omitempty"` // for people
	Kind         sess.UserKind `json:"kind"`
	State        UserState     `json:"state"`
	Groups       []string      `json:"groups"`
	Roles        []GrantOut    `json:"roles"`
	Factors      []string      `json:"factors"` // confirmed second factors
	LastSeenAt   *time.Time    `json:"last_seen_at,omitempty"`
	CreatedAt    time.Time     `json:"created_at"`
	DeletedAt    *time.Time    `json:"deleted_at,omitempty"`
	ValidSeconds int64         `json:"valid_seconds,omitempty"` // how long logins and keys are valid; 0: as the organisation says
	ActiveLogin  bool          `json:"require_active_login"`    // keys work only while a login lives
	IDP          sess.IDPID    `json:"idp,omitempty"`           // of the provider that sends them
	// Provider is what their identity provider says, in the answer that shows one user.
	Provider *UserProvider `json:"provider,omitempty"`
	// Invitation says what became of the invitation, in the answer that shows one user.
	Invitation *Invitation `json:"invitation,omitempty"`
}

// Invitation is what is known of a user's last invitation.
type Invitation struct {
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt time.Time  `json:"expires_at"`
	UsedAt    *time.Time `json:"used_at,omitempty"`
	Mail      string     `json:"mail,omitempty"` // queued, sent, or why not; empty: the link was handed out
}

// UsersIn asks for users.
type UsersIn struct {
	Page
	Kind    string `query:"kind" enum:"local,idp,machine," doc:"Empty means all"`
	Deleted bool   `query:"deleted" doc:"Those deleted, too"`
}

// UserList is a page of users, newest first.
type UserList struct {
	Items []User `json:"items"`
	Next  string `json:"next,omitempty"`
}

// UserRef names a user by e-mail address, machine user's name, or id.
type UserRef struct {
	User string `path:"user" maxLength:"254"`
}

// InviteIn invites a person.
type InviteIn struct {
	Body struct {
		Email     string    `json:"email" maxLength:"254"`
		Name      string    `json:"name,omitempty" maxLength:"100" doc:"For people; kept for who is new to the server"`
		Role      sess.Role `json:"role,omitempty" maxLength:"64"`
		Project   string    `json:"project,omitempty" maxLength:"64" doc:"Where the role holds; empty means the whole organisation"`
		Groups    []string  `json:"groups,omitempty" maxItems:"50"`
		Temporary bool      `json:"temporary_password,omitempty" doc:"A temporary password instead of a link, for who is new to the server"`
	}
}

// InviteOut is a new invitation. Where the server sends mail, neither link nor password is in it.
type InviteOut struct {
	User      User      `json:"user"`
	Known     bool      `json:"known"` // the person has a password on this server already, and joins with that
	Link      string    `json:"link,omitempty"`
	Password  string    `json:"temporary_password,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
	Mail      string    `json:"mail,omitempty"` // sent, queued, or why not
}

// ResetOut is a new link that sets a password. Where the server sends mail, the link is not in it.
type ResetOut struct {
	Email     string    `json:"email"`
	Link      string    `json:"link,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
	Mail      string    `json:"mail,omitempty"` // sent, queued, or why not
}

// UserPatchIn changes a user.
type UserPatchIn struct {
	UserRef
	Body struct {
		FullName     *string `json:"full_name,omitempty" maxLength:"100"`
		ValidSeconds *int64  `json:"valid_seconds,omitempty" minimum:"0" maximum:"31536000" doc:"0: as the organisation says"`
		ActiveLogin  *bool   `json:"require_active_login,omitempty"`
	}
}

// InviteLookIn asks what an invitation is.
type InviteLookIn struct {
	Body struct {
		Token string `json:"token" maxLength:"200"`
	}
}

// InviteLookOut says what an invitation is, to its holder.
type InviteLookOut struct {
	OrgName string `json:"org_name"`
	Email   string `json:"email,omitempty"` // empty: whoever accepts says it
	Known   bool   `json:"known"`           // the person has a password on this server, and accepts with that
}

// PasswordIn changes one's password.
type PasswordIn struct {
	Body struct {
		Old string `json:"old" maxLength:"1024"`
		New string `json:"new" maxLength:"1024"`
	}
}

// ForgotIn asks for a mail with a link that sets a new password.
type ForgotIn struct {
	Body struct {
		Email string `json:"email" maxLength:"254"`
	}
}

// ResetIn sets a new password by a link.
type ResetIn struct {
	Body struct {
		Token    string `json:"token" maxLength:"200"`
		Password string `json:"password" maxLength:"1024"`
	}
}

// ResetDone says whose password was set.
type ResetDone struct {
	Email string `json:"email"`
}
