package wire

import (
	"encoding/json"
	"fmt"

	"github.com/sessctl/sess/internal/sess"
)

// CtlKind is the first byte of a ctl frame's payload; a JSON object follows.
type CtlKind uint8

// The control messages. They are a stream of their own in each direction: sequenced, credited, exactly once.
const (
	CtlSignal CtlKind = 0x01 // client → agent: Signal
	CtlResize CtlKind = 0x02 // client → agent: Resize
	CtlExit   CtlKind = 0x03 // agent → client: Exit, the last message of the session
	CtlStop   CtlKind = 0x04 // either: StreamRef; the receiver of that stream wants no more of it, the sender drops the rest
	CtlReset  CtlKind = 0x05 // either: StreamRef; the sender of that stream gave it up: this is no end of file
)

// Signal asks for a signal to be sent to the session's foreground process group (with a PTY) or process group.
type Signal struct {
	Name string `json:"name"` // "SIGINT", "SIGTERM", …
}

// Resize is the owner's terminal size in cells.
type Resize struct {
	Cols uint16 `json:"cols"`
	Rows uint16 `json:"rows"`
}

// Final is the offset at which a stream of the agent ended, its FIN included.
type Final struct {
	Channel uint32 `json:"channel"`
	Offset  uint64 `json:"offset"`
}

// Exit tells how the process ended and how long every stream of the agent became. A client is finished when it has
// consumed all of them.
type Exit struct {
	sess.Exit
	Finals []Final `json:"finals"`
}

// StreamRef names a channel, in the direction that the message's kind says.
type StreamRef struct {
	Channel uint32 `json:"channel"`
}

// EndFrame tells an end that the session is over for it.
type EndFrame struct {
	Reason  sess.EndReason `json:"reason"`
	By      string         `json:"by,omitempty"`      // who ended it, for people
	Message string         `json:"message,omitempty"` // why, for people
	Exit    *sess.Exit     `json:"exit,omitempty"`    // how the process ended, where that is known
}

// ErrorFrame closes a connection. It does not end the session.
type ErrorFrame struct {
	Code    sess.Code `json:"code"`
	Message string    `json:"message"`
}

// EncodeCtl gives the payload of a ctl frame.
func EncodeCtl(kind CtlKind, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode ctl 0x%02x: %w", uint8(kind), err)
	}
	if len(b)+1 > MaxPayload {
		return nil, fmt.Errorf("ctl 0x%02x is %d bytes, over the frame limit", uint8(kind), len(b))
	}
	return append([]byte{byte(kind)}, b...), nil
}

// DecodeCtl splits the payload of a ctl frame. An unknown kind is no error: whoever acts on it decides; from 0x80 on it
// is skipped.
func DecodeCtl(p []byte) (CtlKind, json.RawMessage, error) {
	if len(p) < 2 {
		return 0, nil, fmt.Errorf("%w in ctl", ErrPayload)
	}
	return CtlKind(p[0]), json.RawMessage(p[1:]), nil
}
