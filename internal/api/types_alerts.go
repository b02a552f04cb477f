package api

import "time"

// AlertHookIn has a webhook told of what is unusual.
type AlertHookIn struct {
	Body struct {
		URL    string   `json:"url" maxLength:"1024" doc:"https://HOST/PATH"`
		On     []string `json:"on" minItems:"1" maxItems:"20" doc:"What it is told of: lockout, lock, refusals, new-address, odd-hours, recording, agent-key, or all"`
		Secret string   `json:"secret,omitempty" maxLength:"200" doc:"whsec_ and 24 to 64 bytes in base64; made if not given"`
		CA     string   `json:"ca,omitempty" maxLength:"32768" doc:"PEM of certificate authorities beside the system's"`
	}
}

// AlertHook is a webhook that is told of what is unusual, signed as Standard Webhooks are.
type AlertHook struct {
	ID          string     `json:"id"`
	URL         string     `json:"url"`
	On          []string   `json:"on"`
	HasCA       bool       `json:"has_ca"`
	CreatedAt   time.Time  `json:"created_at"`
	CreatedBy   string     `json:"created_by"`
	Waiting     int64      `json:"waiting"` // alerts that it was not told of yet, of any kind
	DeliveredAt *time.Time `json:"delivered_at,omitempty"`
	Failures    int64      `json:"failures,omitempty"` // in a row
	Problem     string     `json:"problem,omitempty"`  // of the last one
	FailedAt    *time.Time `json:"failed_at,omitempty"`
}

// AlertHookAdded is a webhook that was just added. The secret is shown this once, if the server made it.
type AlertHookAdded struct {
	AlertHook
	Secret string `json:"secret,omitempty"`
}

// AlertHookList are the webhooks of an organisation, newest first.
type AlertHookList struct {
	Items []AlertHook `json:"items"`
}

// Alert is something unusual that was found.
type Alert struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"`
	Time    time.Time `json:"time"`
	Summary string    `json:"summary"`
	Told    bool      `json:"told"` // to the webhook it is shown with
}

// AlertHookShown is a webhook with the latest alerts that are for it, newest first.
type AlertHookShown struct {
	AlertHook
	Alerts []Alert `json:"alerts"`
}

// AlertTestOut says whether a webhook took a test, and if not, why.
type AlertTestOut struct {
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}
