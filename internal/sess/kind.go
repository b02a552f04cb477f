package sess

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Kind is the kind of a session. To everything between client and agent it is data: policy matches on its name, the
// relay sees frames.
type Kind string

// The kinds of session.
const (
	KindShell Kind = "shell" // interactive, on a PTY
	KindExec  Kind = "exec"  // a command; stdin, stdout and stderr are separate unless a PTY is asked for
)

// Windows of the stream protocol, bytes in flight per stream and direction.
const (
	WindowTerminal = 256 << 10
	WindowBulk     = 4 << 20
)

// MaxParams bounds the encoded parameters of a session, in bytes: arguments and environment of a command fit easily
// (Linux itself allows 2 MiB of them by default).
const MaxParams = 4 << 20

// KindInfo is what the rooms between client and agent need to know of a kind.
type KindInfo struct {
	Terminal bool          // a PTY unless the parameters say otherwise
	Grace    time.Duration // how long a session without its owner lives on
	FreeRun  time.Duration // after how long away its output runs on into the record alone; 0: never, it stalls
	Validate func(Params) error
}

// Kinds is the table of kinds. A new kind is one row here, one handler in agent, one driver in client and one command
// in cli.
var Kinds = map[Kind]KindInfo{
	KindShell: {Terminal: true, Grace: 10 * time.Minute, FreeRun: 30 * time.Second, Validate: validateShell},
	KindExec:  {Grace: time.Minute, Validate: validateExec},
}

// KindNames lists the kinds in order, for messages and help.
func KindNames() []string {
	var names []string
	for _, k := range slices.Sorted(maps.Keys(Kinds)) {
		names = append(names, string(k))
	}
	return names
}

// Params are the parameters of a session of kind shell or exec. The client encodes them once (EncodeParams); those very
// bytes go to the server, which hashes them into the signed offer, and open the stream to the agent, which compares.
type Params struct {
	Argv []string          `json:"argv,omitempty"` // the command; empty: the user's login shell
	Env  map[string]string `json:"env,omitempty"`  // added to the user's environment, as the agent allows
	Cwd  string            `json:"cwd,omitempty"`  // empty: the user's home
	TTY  bool              `json:"tty,omitempty"`  // run on a PTY
	Term string            `json:"term,omitempty"` // TERM, with a PTY
	Cols uint16            `json:"cols,omitempty"` // with a PTY; 0: 80
	Rows uint16            `json:"rows,omitempty"` // with a PTY; 0: 24
	// Timeout ends the command after this many milliseconds; 0: never.
	TimeoutMS int64 `json:"timeout_ms,omitempty"`
}

// EncodeParams gives the one encoding of p that is hashed, sent and recorded.
func EncodeParams(p Params) ([]byte, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode session parameters: %w", err)
	}
	if len(b) > MaxParams {
		return nil, New(CodeTooLarge, fmt.Sprintf("arguments and environment take %d bytes, more than the %d allowed", len(b), MaxParams),
			"send the data on standard input instead")
	}
	return b, nil
}

// DecodeParams reads what EncodeParams made and checks it for kind.
func DecodeParams(kind Kind, b []byte) (Params, error) {
	var p Params
	info, ok := Kinds[kind]
	if !ok {
		return p, New(CodeInvalid, fmt.Sprintf("unknown kind of session %q", kind), "kinds are "+strings.Join(KindNames(), ", "))
	}
	if len(b) > MaxParams {
		return p, New(CodeTooLarge, "session parameters are too large", "")
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return p, Wrap(err, CodeInvalid, "session parameters are not valid JSON", "")
	}
	return p, info.Validate(p)
}

func validateShell(p Params) error {
	if !p.TTY {
		return New(CodeInvalid, "a shell needs a terminal", "use exec for a command without one")
	}
	return validateCommand(p)
}

func validateExec(p Params) error {
	if len(p.Argv) == 0 {
		return New(CodeInvalid, "no command given", "put it behind --: sessctl exec INSTANCE -- uptime")
	}
	return validateCommand(p)
}

func validateCommand(p Params) error {
	for _, a := range p.Argv {
		if strings.ContainsRune(a, 0) {
			return New(CodeInvalid, "an argument contains a NUL byte", "")
		}
	}
	if len(p.Argv) > 0 && p.Argv[0] == "" {
		return New(CodeInvalid, "the command is empty", "")
	}
	for k, v := range p.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.ContainsRune(v, 0) {
			return New(CodeInvalid, fmt.Sprintf("%q is no valid environment variable", k), "use NAME=VALUE")
		}
	}
	if strings.ContainsRune(p.Cwd, 0) || strings.ContainsRune(p.Term, 0) {
		return New(CodeInvalid, "a parameter contains a NUL byte", "")
	}
	if p.TimeoutMS < 0 {
		return New(CodeInvalid, "the timeout is negative", "")
	}
	return nil
}
