package sess

import "time"

// State is where a session is in its life: pending → active ⇄ detached → ended.
type State string

// The states of a session.
const (
	StatePending  State = "pending"  // offered to the agent, not yet joined by it
	StateActive   State = "active"   // running, owner connected
	StateDetached State = "detached" // running, owner away
	StateEnded    State = "ended"
)

// EndReason says why a session ended. Every session gets exactly one.
type EndReason string

// The reasons a session ends for.
const (
	EndExit       EndReason = "exit"        // its main process exited; the status says how
	EndEnded      EndReason = "terminated"  // somebody ended it
	EndAgentLost  EndReason = "agent_lost"  // the agent process died or lost it
	EndAgentGone  EndReason = "agent_gone"  // the agent was not heard of for longer than the grace
	EndDetached   EndReason = "detached"    // its owner stayed away for longer than the grace
	EndRejected   EndReason = "rejected"    // the agent refused it
	EndNoAgent    EndReason = "no_agent"    // the agent did not take the offer in time
	EndNoClient   EndReason = "no_client"   // the client never came
	EndRevoked    EndReason = "revoked"     // the right to it went away: login, key, grant or user
	EndLocked     EndReason = "locked"      // a lock was put on its user, key, address, instance, project or organisation
	EndRemoved    EndReason = "removed"     // its instance was removed
	EndTampered   EndReason = "tampered"    // a repeated byte differed from the one on record
	EndProtocol   EndReason = "protocol"    // one side broke the protocol and made no progress
	EndRecording  EndReason = "recording"   // it could not be recorded and had to be
	EndTimeout    EndReason = "timeout"     // its own --timeout passed
	EndLimit      EndReason = "limit"       // of an Exit: it failed, and had run into a limit in the file of the instance's owner
	EndServerLost EndReason = "server_lost" // its lease ran out: its agent heard of no server for so long

	EndIdle         EndReason = "idle"          // nothing was typed, or sent, for as long as a control says
	EndMaxDuration  EndReason = "max_duration"  // it ran for as long as a control says
	EndLoginExpired EndReason = "login_expired" // the login or key that started it ran out, and a control has it end with that
)

// Exit is how the main process of a session ended.
type Exit struct {
	Status int    `json:"status"`           // the exit code, or 128 + the signal's number
	Signal string `json:"signal,omitempty"` // "SIGTERM"; empty when it exited by itself
	// Message says why there was no process to exit (command not found, say); empty otherwise.
	Message string `json:"message,omitempty"`
	// Reason is EndTimeout when the agent ended it because its own timeout had passed, EndLimit when it failed and had run into
	// one of Limits, EndServerLost when its lease ran out, and the reason of the order by which somebody had it ended; empty otherwise.
	Reason EndReason `json:"reason,omitempty"`
	// What all its processes took, as far as the agent can tell; 0: not known.
	CPUMicros int64 `json:"cpu_us,omitempty"`
	MemPeak   int64 `json:"mem_peak,omitempty"` // bytes
	// Limits names what it ran into of the limits in the file of the instance's owner: "max_memory, max_processes".
	Limits string `json:"limits,omitempty"`
	// Left counts processes that could not be killed when it was over: the kernel holds them, on a dead disk or network, say.
	Left int `json:"left_running,omitempty"`
	// Programs sums up the programs that ran; nil: nobody asked, or the agent is too old.
	Programs *ProgramsSum `json:"programs,omitempty"`
}

// Side is one of the two ends of a session's stream.
type Side string

// The two sides.
const (
	SideClient Side = "client"
	SideAgent  Side = "agent"
)

// RecordingState is the state of a session's recording.
type RecordingState string

// The states of a recording. It is never simply absent: "missing" says that it should be there and is not.
const (
	RecordingActive     RecordingState = "recording"
	RecordingComplete   RecordingState = "complete"
	RecordingIncomplete RecordingState = "incomplete" // parts are missing or failed their check; what is left plays
	RecordingMissing    RecordingState = "missing"
	RecordingOff        RecordingState = "off"     // not kept: the session's controls say so
	RecordingExpired    RecordingState = "expired" // it was there, and was deleted as the organisation's settings say
)

// Limits on times of a session that are not the kind's.
const (
	TicketTTL    = 10 * time.Minute // a ticket not used by then is void
	StartTimeout = 20 * time.Second // an agent that has not joined by then is not coming
)
