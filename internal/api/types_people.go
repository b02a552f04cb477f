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
