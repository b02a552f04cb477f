package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/recording"
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
func (a *app) showCommands(ctx context.Context, session string, files []string) error {
	ids, err := a.identities(files)
	if err != nil {
		return err
	}
	s, err := call(ctx, a, "asking the server", api.GetSession, api.SessionRef{Session: session})
	if err != nil {
		return err
	}
	l, err := a.programsOf(ctx, s, ids)
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

// programsOf gets the list of a session: from the server, or out of the recording, where that is encrypted.
func (a *app) programsOf(ctx context.Context, s api.Session, ids []recording.Identity) (*programList, error) {
	if s.Controls == nil || len(s.Controls.Recipients) == 0 || s.Controls.RecordingMode() == sess.RecordOff {
		body, err := a.download(ctx, strings.Replace(api.PathSessionCommands, "{session}", url.PathEscape(string(s.ID)), 1))
		if err != nil {
			return nil, err
		}
		defer body.Close()
		return readPrograms(body)
	}
	if err := unreadable(true, s.Controls.Recipients, ids); err != nil {
		return nil, err // before the replay is on record
	}
	r, body, err := a.openRecording(ctx, string(s.ID), ids)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	defer r.Close()
	l := newProgramLines()
	n, err := recording.CopyPrograms(r, l)
	if err == nil {
		err = recording.EndPrograms(l, n, r.Report())
	}
	if err != nil {
		return nil, err
	}
	return l.end(), nil
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

// readPrograms reads the lines of a list.
func readPrograms(r io.Reader) (*programList, error) {
	l := newProgramLines()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxProgramLine)
	for lines.Scan() {
		if _, err := l.Write(lines.Bytes()); err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err //nolint:wrapcheck // broken does
	}
	return l.end(), nil
}

// programLines puts starts and ends together.
type programLines struct {
	list   programList
	at     map[int64]int // of programs that have not ended
	digest hash.Hash
}

func newProgramLines() *programLines {
	return &programLines{list: programList{Commands: []program{}}, at: map[int64]int{}, digest: sha256.New()}
}

func (l *programLines) end() *programList {
	l.list.Digest = hex.EncodeToString(l.digest.Sum(nil))
	return &l.list
}

// Write takes in one line.
func (l *programLines) Write(p []byte) (int, error) {
	b := bytes.TrimSpace(p)
	var line sess.ProgramLine
	if err := json.Unmarshal(b, &line); err != nil {
		return 0, fmt.Errorf("a line of the list makes no sense: %w", err)
	}
	if len(l.list.Commands) >= maxPrograms {
		return 0, fmt.Errorf("more than %d programs", maxPrograms)
	}
	if line.At != 0 { // the server's own lines have no time
		l.digest.Write(b)
		l.digest.Write([]byte{'\n'})
	}
	l.list.take(line, l.at)
	return len(p), nil
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
