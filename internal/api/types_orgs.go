package api

import (
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// Org is the organisation of who asks, and what is set for it.
type Org struct {
	ID        sess.OrgID   `json:"id"`
	Name      string       `json:"name"`
	CreatedAt time.Time    `json:"created_at"`
	Settings  []OrgSetting `json:"settings"`
}

// OrgSetting is one setting of an organisation.
type OrgSetting struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Default bool   `json:"default"` // nobody set it
	Summary string `json:"summary"`
}

// OrgItem is an organisation that who asks is in.
type OrgItem struct {
	ID      sess.OrgID `json:"id"`
	Name    string     `json:"name"`
	Current bool       `json:"current"` // that of the login or key that asks
}

// OrgList lists the organisations that who asks is in, by name.
type OrgList struct {
	Items []OrgItem `json:"items"`
}

// OrgUseIn asks for a login in another organisation.
type OrgUseIn struct {
	Org  string `path:"org" maxLength:"63" doc:"Name or id"`
	Body struct {
		Client string `json:"client,omitempty" maxLength:"200" doc:"What logs in, for the list of logins"`
	}
}

// OrgSetIn changes settings.
type OrgSetIn struct {
	Body struct {
		Settings map[string]string `json:"settings" minProperties:"1" maxProperties:"32" doc:"Values by key, as the answer of org-show has them; \"default\" takes back what was set"`
		Now      bool              `json:"now,omitempty" doc:"With session-manager off: what runs ends, too"`
	}
}

// OrgRenameIn renames the organisation.
type OrgRenameIn struct {
	Body struct {
		Name string `json:"name" maxLength:"63"`
	}
}
