package sess

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
	NoProgramsOff        = "switched_off" // by the owner of the machine
	NoProgramsFault      = "fault"
	NoProgramsTold       = "not_told" // nothing is on record: said by the server
)

// ProgramsSum is what an agent states about the programs of a session when it is over.
type ProgramsSum struct {
	Count  int64  `json:"count"`
	Lost   int64  `json:"lost,omitempty"`
	None   string `json:"none,omitempty"`   // why there is no list: one of the NoPrograms… constants
	Digest string `json:"digest,omitempty"` // hex SHA-256 of all lines
}
