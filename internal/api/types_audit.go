package api

// AuditFilter says which audit events are meant; what is empty leaves nothing out.
type AuditFilter struct {
	Since    string `query:"since" maxLength:"40" doc:"RFC 3339: written then or later"`
	Until    string `query:"until" maxLength:"40" doc:"RFC 3339: written before then"`
	Action   string `query:"action" maxLength:"64" doc:"An action, or all of an area: session:*"`
	Who      string `query:"who" maxLength:"254" doc:"Name or id of a user, or an instance's of what its agent did"`
	Session  string `query:"session" maxLength:"63"`
	Outcome  string `query:"outcome" enum:"allowed,refused,failed," doc:"Empty means all"`
	On       string `query:"on" maxLength:"254" doc:"Name or id of what it was about"`
	Instance string `query:"instance" maxLength:"254" doc:"Name or id of the instance that it concerned"`
	Address  string `query:"address" maxLength:"64" doc:"Where it came from"`
}

// AuditIn asks for audit events, newest first.
type AuditIn struct {
	Page
	AuditFilter
}

// AuditRef names an event.
type AuditRef struct {
	Event string `path:"event" maxLength:"63"`
}

// AuditEvent is one event with its place in the log; Raw is its verbatim bytes, which the log's leaves are hashes of.
type AuditEvent struct {
	Index int64  `json:"index"` // -1: not yet placed
	Raw   []byte `json:"raw"`
}

// AuditList is a page of events.
type AuditList struct {
	Items []AuditEvent `json:"items"`
	Next  string       `json:"next,omitempty"`
	Size  int64        `json:"size"` // events that have a place: to watch from
}

// AuditWatchIn asks for the events from a place on, as they come. An answer ends after a minute; ask again from the last
// line's Next.
type AuditWatchIn struct {
	From int64 `query:"from"`
	AuditFilter
}

// AuditWatchLine is one line of the answer: an event, or none, so that one sees that the connection lives.
type AuditWatchLine struct {
	Next  int64       `json:"next"` // from where to go on
	Event *AuditEvent `json:"event,omitempty"`
}

// AuditExportIn says what is exported and how. Of the filters only Since and Until count: what is exported is a range of the
// log.
type AuditExportIn struct {
	Format string `query:"format" enum:"jsonl,csv,ocsf,"`
	Since  string `query:"since"`
	Until  string `query:"until"`
}

// Checkpoint is a signed checkpoint of the log.
type Checkpoint struct {
	Log        string `json:"log"`
	Size       int64  `json:"size"`
	Checkpoint string `json:"checkpoint"` // the signed note
	Key        string `json:"key"`        // of who signed it, as the server claims
}

// ProveIn names an event to prove.
type ProveIn struct {
	Event string `path:"event" maxLength:"63"`
}

// ConsistencyIn names two sizes of the log.
type ConsistencyIn struct {
	From int64 `query:"from" minimum:"0" doc:"The smaller size"`
	To   int64 `query:"to" minimum:"0" doc:"The larger one, of which there must be a checkpoint; 0: the newest checkpoint"`
}

// AuditProof is a proof that can be checked offline: package audit's, as JSON.
type AuditProof struct {
	Version    int      `json:"sess_audit_proof"`
	Kind       string   `json:"kind"` // event or consistency
	Log        string   `json:"log"`
	Index      int64    `json:"index,omitempty"` // of the event
	Event      string   `json:"event,omitempty"` // its verbatim bytes
	From       int64    `json:"from,omitempty"`  // the smaller size, of a consistency
	Hashes     []string `json:"hashes"`          // base64
	Checkpoint string   `json:"checkpoint"`      // signed, over the tree that it is proved for
	Key        string   `json:"key"`             // of who signed it, as the server claims
}

// AuditVerifyOut is the server's own check of its log.
type AuditVerifyOut struct {
	OK         bool     `json:"ok"`
	Size       int64    `json:"size"` // events in the tree
	Unplaced   int64    `json:"unplaced"`
	Root       string   `json:"root"` // base64
	Checkpoint string   `json:"checkpoint"`
	Key        string   `json:"key"` // verifies checkpoints and exports of this server, offline
	Problems   []string `json:"problems,omitempty"`
}
