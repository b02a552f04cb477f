package sess

// EchoedLine is one line of what an agent tells of masked input: JSON, one object a line. It holds what was typed on a terminal
// while that showed it, and was seen to: nothing that its output does not hold.
type EchoedLine struct {
	Participant uint16 `json:"participant,omitempty"` // who typed; 0: the owner
	Typed       []byte `json:"typed"`
}
