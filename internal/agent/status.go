package agent

import (
	"encoding/json"
	"errors"
	"io/fs"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// Status is what a running agent last said about itself. It is a file of the state directory: an agent listens on
// nothing, not even for its owner.
type Status struct {
	Running   bool            `json:"running"`
	Connected bool            `json:"connected"`
	Since     time.Time       `json:"since,omitzero"` // of connected or not
	Instance  sess.InstanceID `json:"instance,omitempty"`
	Name      string          `json:"name,omitempty"`
	Server    string          `json:"server,omitempty"`
	Problem   string          `json:"problem,omitempty"`
	Hint      string          `json:"hint,omitempty"`
	Sessions  int             `json:"sessions"`
	PID       int             `json:"pid,omitempty"`
	Boot      sess.BootID     `json:"boot,omitempty"`
	Version   string          `json:"version,omitempty"` // of the agent that runs
	// Programs is on when the programs that run in sessions are listed, else why they are not.
	Programs string `json:"programs,omitempty"`
	// Holds is what holds the processes of a session together; Unenforced are limits of the owner's file that it can't set.
	Holds      string `json:"holds,omitempty"`
	Unenforced string `json:"unenforced,omitempty"`
}

// report changes the status file. change may look at what mu protects.
func (a *Agent) report(change func(*Status)) {
	a.writing.Lock() // or else an older status could replace a newer one
	defer a.writing.Unlock()
	a.mu.Lock()
	before := a.status
	s := &a.status
	s.Instance, s.Name, s.Server, s.Version = a.id.Instance, a.id.Name, a.server.URL.String(), a.opts.Version
	change(s)
	if s.Problem != "" && s.Problem == before.Problem && !before.Connected {
		s.Since = before.Since
	}
	now := *s
	a.mu.Unlock()
	if now == before {
		return
	}
	b, err := json.Marshal(now)
	if err == nil {
		err = a.opts.State.write(statusFile, b)
	}
	if err != nil {
		a.log.Debug("write status", "error", err)
	}
}

// ReadStatus tells how the agent of a state directory does.
func ReadStatus(d StateDir) (Status, error) {
	id, _, err := d.Load()
	if err != nil {
		return Status{}, err
	}
	var s Status
	b, err := readLimited(d.path(statusFile))
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, sess.Wrap(err, sess.CodeInvalid, "can't read the agent's status in "+string(d), "restart the agent")
	}
	s.Instance, s.Name, s.Server = id.Instance, id.Name, id.Server
	s.Running = d.running()
	if !s.Running {
		s.Connected, s.PID, s.Sessions, s.Boot = false, 0, 0, ""
	}
	return s, nil
}
