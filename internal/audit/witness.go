package audit

import "time"

// Witnessed is a line of a file of checkpoints that were seen: by a witness, or as a server published them.
type Witnessed struct {
	Time       time.Time `json:"time"` // when it was seen, by the clock of who wrote the line
	Log        string    `json:"log"`
	Size       int64     `json:"size"`
	Checkpoint string    `json:"checkpoint"` // the signed note
}
