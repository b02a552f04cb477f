package sess

import (
	"strings"
	"unicode"
)

// ProgramLine is one line of what an agent tells of the programs that ran in a session: JSON, one object a line, in the
// order in which it happened. The first line is of type begin or none; a whole list has an end line.
type ProgramLine struct {
	T  string `json:"t"`            // one of the Program… constants
	At int64  `json:"at,omitempty"` // µs since 1970, by the instance's clock

	// begin
	Source string `json:"source,omitempty"` // "ebpf"
	Kernel string `json:"kernel,omitempty"`

	// none
	Code    string `json:"code,omitempty"`    // one of the NoPrograms… constants
	Message string `json:"message,omitempty"` // for people

	// run, exit
	ID       int64    `json:"id,omitempty"`       // counts from 1 in its session
	Replaces int64    `json:"replaces,omitempty"` // the program that this process ran before, which ended by that
	PID      uint32   `json:"pid,omitempty"`      // as the agent sees it
	PPID     uint32   `json:"ppid,omitempty"`
	UID      *uint32  `json:"uid,omitempty"`  // effective
	Argv     []string `json:"argv,omitempty"` // as the program got it; what is no UTF-8 is replaced
	ArgvSize uint32   `json:"argv_size,omitempty"`
	File     string   `json:"file,omitempty"` // what was asked for, if that is not exe: a script, a link
	Exe      string   `json:"exe,omitempty"`  // the file that runs, through all links and mounts; without a leading slash: it lies in memory only
	Cwd      string   `json:"cwd,omitempty"`
	// Cut names what is not whole: args, exe, cwd; or could not be read: args_unread.
	Cut    []string `json:"cut,omitempty"`
	Status *int     `json:"status,omitempty"`
	Signal string   `json:"signal,omitempty"`

	// lost, end
	Count   int64 `json:"count,omitempty"`   // programs
	Lost    int64 `json:"lost,omitempty"`    // programs or their ends that are not in the list
	Running int64 `json:"running,omitempty"` // programs that had not ended when the list did
}

// The types of ProgramLine.
const (
	ProgramsBegin = "begin" // the kernel is asked
	ProgramsNone  = "none"  // the kernel can't be asked, and why: nothing follows
	ProgramRun    = "run"   // a program was started
	ProgramExit   = "exit"  // its process ended
	ProgramsLost  = "lost"  // something is missing here
	ProgramsEnd   = "end"   // the session's processes have ended
)

// Why an agent can't tell which programs run.
const (
	NoProgramsSystem     = "not_linux"
	NoProgramsKernel     = "old_kernel"
	NoProgramsBTF        = "no_btf"
	NoProgramsCapability = "no_capability"
	NoProgramsLockdown   = "locked_down"
	NoProgramsOff        = "switched_off" // by the owner of the machine
	NoProgramsFault      = "fault"
	NoProgramsTold       = "not_told" // nothing is on record: said by the server
)

// NoProgramsText says for people what one of the NoPrograms… constants means; a newer one stands for itself.
func NoProgramsText(code string) string {
	switch code {
	case NoProgramsSystem:
		return "the instance does not run Linux"
	case NoProgramsKernel:
		return "the instance's kernel is too old to tell"
	case NoProgramsBTF:
		return "the instance's kernel does not describe itself (BTF)"
	case NoProgramsCapability:
		return "the agent may not ask the kernel: it is not root, or a container forbids it"
	case NoProgramsLockdown:
		return "the instance's kernel is locked down and tells nobody"
	case NoProgramsOff:
		return "the instance's owner has switched it off"
	case NoProgramsFault:
		return "the kernel refused: the agent's log has why"
	case NoProgramsTold:
		return "the agent told nothing"
	}
	return code
}

// ProgramsSum is what an agent states about the programs of a session when it is over.
type ProgramsSum struct {
	Count  int64  `json:"count"`
	Lost   int64  `json:"lost,omitempty"`
	None   string `json:"none,omitempty"`   // why there is no list: one of the NoPrograms… constants
	Digest string `json:"digest,omitempty"` // hex SHA-256 of all lines
}

// CommandLine says what was run as a line that a shell would take, cut to about limit bytes; 0: whole. Nothing in it acts on a
// terminal.
func (l *ProgramLine) CommandLine(limit int) string { return CommandLine(l.Argv, limit) }

// CommandLine is a program's arguments as a line that a shell would take, cut to about limit bytes; 0: whole. Whoever ran it
// chose them: what a terminal would act on is replaced, and a line's end too.
func CommandLine(argv []string, limit int) string {
	var b strings.Builder
	for i, w := range argv {
		if limit > 0 && b.Len() > limit {
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(argument(w))
	}
	s := b.String()
	if limit > 0 && len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case !unicode.IsPrint(r):
			return '\uFFFD'
		}
		return r
	}, s)
}

// argument quotes a word where a shell would need it.
func argument(w string) string {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-./=:,+@%^", r)
	}
	if w != "" && strings.IndexFunc(w, odd) < 0 {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}
