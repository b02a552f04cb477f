package sess

// Traffic is how many bytes a session moved, by stream: what the client sent, and what the instance sent as output and as
// standard error where that is apart. A terminal has output alone. It counts what passed, on record or not.
type Traffic struct {
	In  int64 `json:"in"`
	Out int64 `json:"out"`
	Err int64 `json:"err"`
}

// Recorded is how the recording of a session stands, and what passed meanwhile.
type Recorded struct {
	State   RecordingState
	Bytes   int64  // as recorded, before compression
	Stored  int64  // on disk
	Digest  string // empty until it is complete
	Problem string // what is missing; empty: nothing
	Moved   Traffic
}
