package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// hostFields say on what machine a session is or was.
func hostFields(s api.Session) []field {
	system := strings.Join(strings.Fields(s.Host.OS+" "+s.Host.Arch+" "+s.Host.Kernel), " ")
	return []field{
		{"Hostname", s.Hostname},
		{"Instance address", s.InstanceAddr},
		{"Own addresses", strings.Join(s.Host.Addrs, " ")},
		{"System", system},
		{"Agent", strings.TrimSpace(s.Host.Version + as(s.Host.RunsAs))},
	}
}

func as(user string) string {
	if user == "" {
		return ""
	}
	return " as " + user
}

// whoFields say whose a session is, and how they proved it.
func whoFields(a *app, s api.Session) []field {
	by := string(s.Credential)
	if s.IDP != "" {
		by += " through " + s.IDP
	}
	if s.CredentialID != "" {
		by += " (" + s.CredentialID + ")"
	}
	factor := ""
	if s.MFAAt != nil {
		factor = a.exactly(*s.MFAAt)
		if age := s.CreatedAt.Sub(*s.MFAAt); age >= 0 {
			factor += ", " + age.Round(time.Second).String() + " before the start"
		}
	}
	return []field{
		{"User", s.UserName + " by " + by},
		{"Second factor", factor},
		{"From", s.ClientAddr},
		{"OS user", s.OSUser},
		{"Ran as", s.RanAs},
	}
}

// lasted says how long a session that ended had run.
func lasted(s api.Session) string {
	if s.StartedAt == nil || s.EndedAt == nil {
		return ""
	}
	return s.EndedAt.Sub(*s.StartedAt).Round(time.Millisecond).String()
}

// heldFields say how a session's processes are held together and limited, and whether its programs are listed.
func heldFields(s api.Session) []field {
	h := s.Host
	var fields []field
	switch h.Holds {
	case "", "cgroup v1", "cgroup v2":
		fields = append(fields, field{"Held by", h.Holds})
	default:
		fields = append(fields, field{"Held by", h.Holds + ": without cgroups, processes are found by descent, terminal and environment"})
	}
	if h.Unenforced != "" {
		fields = append(fields, field{"Not enforced", h.Unenforced + ": the instance has no cgroups for it"})
	}
	if x := s.Exit; x != nil && x.Limits != "" {
		fields = append(fields, field{"Ran into", x.Limits + ", of the instance's owner"})
	}
	if x := s.Exit; x != nil && x.Left > 0 {
		fields = append(fields, field{"Left running", fmt.Sprintf("%d processes that could not be killed: the kernel holds them", x.Left)})
	}
	return append(fields, field{"Programs", programsText(s)})
}

func programsText(s api.Session) string {
	none := s.Host.Programs
	if s.Exit != nil && s.Exit.Programs != nil {
		p := s.Exit.Programs
		if p.None == "" {
			text := fmt.Sprintf("%d, which --commands lists", p.Count)
			if p.Lost > 0 {
				text += fmt.Sprintf("; %d programs or ends are missing", p.Lost)
			}
			return text
		}
		none = p.None
	}
	switch none {
	case "":
		return ""
	case "on":
		return "listed: --commands shows them"
	}
	return "not available (" + none + "): " + sess.NoProgramsText(none)
}

func recordingText(s api.Session) string {
	text := string(s.RecordingState)
	if s.RecordingBytes > 0 {
		text += ", " + sess.FormatSize(uint64(s.RecordingBytes))
	}
	return text
}

// tookFields say what a session moved and used.
func tookFields(s api.Session) []field {
	bytes, cpu, mem := "", "", ""
	if s.Bytes != (sess.Traffic{}) || s.StartedAt != nil {
		bytes = fmt.Sprintf("%d in, %d out, %d err", s.Bytes.In, s.Bytes.Out, s.Bytes.Err)
	}
	if s.CPUMicros > 0 {
		cpu = (time.Duration(s.CPUMicros) * time.Microsecond).Round(time.Millisecond).String()
	}
	if s.MemPeak > 0 {
		mem = sess.FormatSize(uint64(s.MemPeak))
	}
	return []field{{"Bytes", bytes}, {"CPU time", cpu}, {"Peak memory", mem}}
}

// maxShownJoins bounds the tickets that are shown to a person; --json has all that are kept.
const maxShownJoins = 10

// peopleFields say who was in a session and when, and with which tickets both sides joined.
func (a *app) peopleFields(s api.Session) []field {
	var fields []field
	for _, p := range s.Participants {
		text := fmt.Sprintf("%s %s from %s", p.Role, p.UserName, p.ClientAddr)
		if p.JoinedAt != nil {
			text += ", joined " + a.exactly(*p.JoinedAt)
		}
		switch {
		case p.Waiting:
			text += ", asks to be let in"
		case p.Num == 0 || p.LeftAt != nil:
		case p.JoinedAt == nil:
			text += ", on the way"
		case p.Here:
			text += ", is there"
		default:
			text += ", connection lost"
		}
		if p.LeftAt != nil {
			text += ", left " + a.exactly(*p.LeftAt)
			if p.LeftReason != "" {
				text += " (" + p.LeftReason + ")"
			}
		}
		fields = append(fields, field{fmt.Sprintf("Participant %d", p.Num), text})
	}
	for i, j := range s.Joins {
		if i == maxShownJoins {
			fields = append(fields, field{"Tickets", fmt.Sprintf("%d more: --json shows them", len(s.Joins)-i)})
			break
		}
		text := fmt.Sprintf("%s from %s, minted %s, redeemed %s", j.Side, j.Address, a.exactly(j.MintedAt), a.exactly(j.RedeemedAt))
		fields = append(fields, field{"Ticket", text})
	}
	return fields
}
