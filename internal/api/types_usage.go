package api

import (
	"strconv"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// Host is the instance of a session as its agent saw it when the session was started. No policy trusts it.
type Host struct {
	Hostname string   `json:"hostname,omitempty"`
	OS       string   `json:"os,omitempty"`
	Arch     string   `json:"arch,omitempty"`
	Kernel   string   `json:"kernel,omitempty"`
	Addrs    []string `json:"addresses,omitempty"` // its own, behind whatever translates them
	RunsAs   string   `json:"runs_as,omitempty"`   // the user that the agent runs as
	Version  string   `json:"version,omitempty"`   // the agent's
	// What holds the processes of a session together (cgroup v2, cgroup v1, subreaper, process groups), which limits of its
	// owner's file the agent could not set, and whether it lists programs: "on", or why not.
	Holds      string `json:"holds,omitempty"`
	Unenforced string `json:"unenforced,omitempty"`
	Programs   string `json:"programs,omitempty"`
}

// SessionJoin is one ticket that was used to join a session, and from where.
type SessionJoin struct {
	Side       sess.Side `json:"side"`
	MintedAt   time.Time `json:"minted_at"`
	RedeemedAt time.Time `json:"redeemed_at"`
	Address    string    `json:"address"`
}

// SessionParticipant is somebody who is or was in a session. Number 0 is its owner.
type SessionParticipant struct {
	Num        int64       `json:"num"`
	Role       string      `json:"role"`
	User       sess.UserID `json:"user"`
	UserName   string      `json:"user_name"`
	ClientAddr string      `json:"client_address"`
	JoinedAt   *time.Time  `json:"joined_at,omitempty"` // first connected
	LeftAt     *time.Time  `json:"left_at,omitempty"`
	LeftReason string      `json:"left_reason,omitempty"`
	Here       bool        `json:"here,omitempty"`    // connected now
	Waiting    bool        `json:"waiting,omitempty"` // the owner is asked to let them in
}

// UsageIn asks what sessions took that ended in a time.
type UsageIn struct {
	By    string `query:"by" maxLength:"80" doc:"user, project, instance, kind, month, or tag:NAME; user if not given"`
	Since string `query:"since" maxLength:"40" doc:"RFC 3339; if not given, the beginning of this month, or, by month, of the month eleven before (UTC)"`
	Until string `query:"until" maxLength:"40" doc:"RFC 3339, not included; now, if not given"`
}

// Usage is what sessions took: those that began, and ended from Since up to Until. A session counts as a whole where it ended.
type Usage struct {
	By    string     `json:"by"`
	Since time.Time  `json:"since"`
	Until time.Time  `json:"until"`
	Items []UsageRow `json:"items"`          // the longest wall time first; months newest first
	More  bool       `json:"more,omitempty"` // there are more items than are given; Total has them all
	Total UsageRow   `json:"total"`
}

// UsageRow is the sum over some sessions.
type UsageRow struct {
	Key       string `json:"key"`            // id of the user, project or instance; kind; month (2026-11); value of the tag, empty without it
	Name      string `json:"name,omitempty"` // of the user, project, instance or organisation
	Sessions  int64  `json:"sessions"`
	WallUS    int64  `json:"wall_us"`            // microseconds from the agent's first join to the end
	CPUUS     *int64 `json:"cpu_us,omitempty"`   // of all processes of the sessions that were measured; absent: none was
	MemPeak   *int64 `json:"mem_peak,omitempty"` // bytes: the highest of any one session; absent as above
	BytesIn   int64  `json:"bytes_in"`
	BytesOut  int64  `json:"bytes_out"`
	BytesErr  int64  `json:"bytes_err"`
	RecStored int64  `json:"recordings_stored"` // bytes of their recordings that are held now

	Unmeasured int64 `json:"unmeasured"` // sessions of which nobody could tell CPU and memory: their agent died
}

// UsageColumns names the columns of usage as CSV. Columns may be added at the end.
func UsageColumns() []string {
	return []string{"key", "name", "sessions", "wall_us", "cpu_us", "mem_peak", "bytes_in", "bytes_out", "bytes_err", "recordings_stored", "unmeasured"}
}

// Numbers gives the row as the columns behind the name have it; what nobody measured is empty, and not 0.
func (r UsageRow) Numbers() []string {
	maybe := func(n *int64) string {
		if n == nil {
			return ""
		}
		return strconv.FormatInt(*n, 10)
	}
	out := []string{strconv.FormatInt(r.Sessions, 10), strconv.FormatInt(r.WallUS, 10), maybe(r.CPUUS), maybe(r.MemPeak)}
	for _, n := range []int64{r.BytesIn, r.BytesOut, r.BytesErr, r.RecStored, r.Unmeasured} {
		out = append(out, strconv.FormatInt(n, 10))
	}
	return out
}
