package api

import (
	"fmt"
	"time"
)

// SinkIn describes where the audit log is to be streamed.
type SinkIn struct {
	Body struct {
		Name      string `json:"name" maxLength:"63"`
		URL       string `json:"url" maxLength:"1024" doc:"https://…, or tls://HOST:PORT for syslog"`
		Format    string `json:"format,omitempty" enum:"json,ocsf," doc:"Empty means json"`
		Secret    string `json:"secret,omitempty" maxLength:"200" doc:"Of a webhook, whsec_ and base64; empty: one is made"`
		CA        string `json:"ca,omitempty" maxLength:"32768" doc:"PEM of certificate authorities beside the system's"`
		FromStart bool   `json:"from_start,omitempty" doc:"With all events there are; else with those from now on"`
	}
}

// Sink is a place that the audit log is streamed to. Its secret is not shown again.
type Sink struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Kind        string     `json:"kind"` // webhook or syslog
	URL         string     `json:"url"`
	Format      string     `json:"format"`
	HasCA       bool       `json:"has_ca"`
	CreatedAt   time.Time  `json:"created_at"`
	CreatedBy   string     `json:"created_by"`
	Next        int64      `json:"next"`                   // place of the first event that was not taken yet; of the server's own sinks the sum over all logs
	Waiting     int64      `json:"waiting"`                // events that were not taken yet
	WaitingFrom *time.Time `json:"waiting_from,omitempty"` // when the first of them was written
	DeliveredAt *time.Time `json:"delivered_at,omitempty"` // last
	Failures    int64      `json:"failures"`               // in a row
	Problem     string     `json:"problem,omitempty"`      // of the last
	FailedAt    *time.Time `json:"failed_at,omitempty"`
}

// sinkBehind is how long an event may wait before its sink counts as behind: to look at a sink is an event, too.
const sinkBehind = 5 * time.Second

// State says in a word or two how a sink is at a time.
func (s Sink) State(now time.Time) string {
	switch {
	case s.Failures > 0:
		return "failing: " + s.Problem
	case s.Waiting > 0 && s.WaitingFrom != nil && now.Sub(*s.WaitingFrom) > sinkBehind:
		return fmt.Sprintf("%d behind", s.Waiting)
	}
	return "ok"
}

// SinkAdded is a new sink, with the secret that signs its messages if that was made here.
type SinkAdded struct {
	Sink   Sink   `json:"sink"`
	Secret string `json:"secret,omitempty"`
}

// SinkRef names a sink by name or id.
type SinkRef struct {
	Sink string `path:"sink" maxLength:"63"`
}

// SinkList has the sinks of a log.
type SinkList struct {
	Items []Sink `json:"items"`
}

// SinkTestOut says whether a test message was taken.
type SinkTestOut struct {
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}
