package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// Bounds of what a server may send as a list of programs.
const (
	maxProgramLine = 1 << 20 // bytes
	maxPrograms    = 2_000_000
)

// program is a program that ran in a session, with its end.
type program struct {
	ID       int64      `json:"id"`
	Replaces int64      `json:"replaces,omitempty"`
	PID      uint32     `json:"pid"`
	PPID     uint32     `json:"ppid"`
	UID      *uint32    `json:"uid,omitempty"`
	Argv     []string   `json:"argv"`
	File     string     `json:"file,omitempty"`
	Exe      string     `json:"exe,omitempty"`
	Cwd      string     `json:"cwd,omitempty"`
	Cut      []string   `json:"cut,omitempty"`
	Started  time.Time  `json:"started_at"`
	Ended    *time.Time `json:"ended_at,omitempty"`
	Status   *int       `json:"status,omitempty"`
	Signal   string     `json:"signal,omitempty"`
}

// programList is what --commands shows.
type programList struct {
	Session   string    `json:"session"`
	Available bool      `json:"available"`
	Reason    string    `json:"reason,omitempty"`  // why it is not available
	Message   string    `json:"message,omitempty"` // the same for people
	Source    string    `json:"source,omitempty"`
	Complete  bool      `json:"complete"` // the session's processes have ended, and nothing is missing
	Lost      int64     `json:"lost"`
	Problem   string    `json:"problem,omitempty"`
	Verified  *bool     `json:"verified,omitempty"` // it is the list whose digest is in the audit log
	Digest    string    `json:"digest,omitempty"`   // hex SHA-256 of the list as the agent sent it
	Commands  []program `json:"commands"`
}

// showCommands prints the programs that ran in a session.
func (a *app) showCommands(ctx context.Context, session string) error {
	s, err := call(ctx, a, "asking the server", api.GetSession, api.SessionRef{Session: session})
	if err != nil {
		return err
	}
	body, err := a.download(ctx, strings.Replace(api.PathSessionCommands, "{session}", url.PathEscape(string(s.ID)), 1))
	if err != nil {
		return err
	}
	defer body.Close()
	l, err := readPrograms(body)
	if err != nil {
		return broken(err)
	}
	l.Session = string(s.ID)
	l.check(s)
	if a.json {
		return a.printJSON(l)
	}
	return a.printPrograms(l)
}

// check compares the list with what is in the audit log.
func (l *programList) check(s api.Session) {
	if s.Exit == nil || s.Exit.Programs == nil || s.Exit.Programs.Digest == "" {
		return
	}
	same := s.Exit.Programs.Digest == l.Digest
	l.Verified = &same
	if !same && l.Problem == "" {
		l.Problem = "this is not the list that the agent stated when the session ended: its digest differs"
	}
	l.Complete = l.Complete && same
}

// readPrograms reads the lines of a list and puts starts and ends together.
func readPrograms(r io.Reader) (*programList, error) {
	l := &programList{Commands: []program{}}
	at := map[int64]int{} // of programs that have not ended
	digest := sha256.New()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxProgramLine)
	for lines.Scan() {
		b := bytes.TrimSpace(lines.Bytes())
		var line sess.ProgramLine
		if err := json.Unmarshal(b, &line); err != nil {
			return nil, fmt.Errorf("a line of the list makes no sense: %w", err)
		}
		if len(l.Commands) >= maxPrograms {
			return nil, fmt.Errorf("more than %d programs", maxPrograms)
		}
		if line.At != 0 { // the server's own lines have no time
			digest.Write(b)
			digest.Write([]byte{'\n'})
		}
		l.take(line, at)
	}
	if err := lines.Err(); err != nil {
		return nil, err //nolint:wrapcheck // broken does
	}
	l.Digest = hex.EncodeToString(digest.Sum(nil))
	return l, nil
}

func (l *programList) take(line sess.ProgramLine, at map[int64]int) {
	when := time.UnixMicro(line.At).UTC()
	switch line.T {
	case sess.ProgramsBegin:
		l.Available, l.Source = true, line.Source
	case sess.ProgramsNone:
		l.Reason, l.Message = line.Code, line.Message
	case sess.ProgramRun:
		if i, ok := at[line.Replaces]; ok {
			l.Commands[i].Ended = &when
			delete(at, line.Replaces)
		}
		at[line.ID] = len(l.Commands)
		l.Commands = append(l.Commands, program{
			ID: line.ID, Replaces: line.Replaces, PID: line.PID, PPID: line.PPID, UID: line.UID, Argv: line.Argv, File: line.File,
			Exe: line.Exe, Cwd: line.Cwd, Cut: line.Cut, Started: when,
		})
	case sess.ProgramExit:
		if i, ok := at[line.ID]; ok {
			l.Commands[i].Ended, l.Commands[i].Status, l.Commands[i].Signal = &when, line.Status, line.Signal
			delete(at, line.ID)
		}
	case sess.ProgramsLost:
		l.Lost += line.Lost
		if line.Message != "" {
			l.Problem, l.Complete = line.Message, false
		}
	case sess.ProgramsEnd:
		l.Lost = line.Lost
		l.Complete = line.Lost == 0 && line.Count == int64(len(l.Commands))
	}
}

func (a *app) printPrograms(l *programList) error {
	if !l.Available {
		a.note("sessctl: the programs of this session are not available (%s): %s", cell(l.Reason), cell(l.Message))
		return nil
	}
	rows := make([][]string, 0, len(l.Commands))
	for _, p := range l.Commands {
		rows = append(rows, []string{a.when(p.Started), p.took(), p.ended(), strconv.FormatUint(uint64(p.PID), 10), strconv.FormatUint(uint64(p.PPID), 10), p.Cwd, p.command()})
	}
	if err := a.printTable([]string{"STARTED", "TOOK", "EXIT", "PID", "PARENT", "DIRECTORY", "COMMAND"}, rows); err != nil {
		return err
	}
	if l.Lost > 0 {
		a.note("sessctl: %d programs or ends are missing: they came faster than they could be taken down", l.Lost)
	}
	if l.Problem != "" {
		a.note("sessctl: %s", cell(l.Problem))
	}
	return nil
}

func (p program) took() string {
	if p.Ended == nil {
		return ""
	}
	d := p.Ended.Sub(p.Started)
	if d < time.Second {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

func (p program) ended() string {
	switch {
	case p.Ended == nil:
		return "running"
	case p.Signal != "":
		return p.Signal
	case p.Status != nil:
		return strconv.Itoa(*p.Status)
	}
	return "exec" // its process went on as another program
}

// command is a line that a shell would take for the same arguments, with the file in front where its name is another.
func (p program) command() string {
	text := sess.CommandLine(p.Argv, 0)
	if len(p.Cut) > 0 {
		text += " […]"
	}
	if p.misnamed() {
		text = "(" + p.Exe + ") " + text
	}
	return text
}

// misnamed reports whether a program calls itself other than its file, or than the link or script that was asked for.
func (p program) misnamed() bool {
	if len(p.Argv) == 0 {
		return true
	}
	base := func(f string) string { return f[strings.LastIndexByte(f, '/')+1:] }
	name := base(strings.TrimPrefix(p.Argv[0], "-")) // of a login shell
	script := len(p.Argv) > 1 && p.Argv[1] == p.File && base(p.File) != base(p.Exe)
	return name != base(p.Exe) && name != base(p.File) && !script
}
