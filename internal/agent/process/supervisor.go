package process

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/sessctl/sess/internal/sess"
)

// Config says whose processes a Supervisor keeps.
type Config struct {
	Instance sess.InstanceID
	Boot     sess.BootID
	Log      *slog.Logger
	// NoCgroup makes the Supervisor go without cgroups even where there are some.
	NoCgroup bool
	// NoCgroupV2 makes it use those of version 1 only.
	NoCgroupV2 bool
	// Limits hold for each session.
	Limits Limits
	// TTYGroup is the group of terminals; 0 means the group "tty" of this machine.
	TTYGroup int
}

// Supervisor starts the processes of sessions and sees to it that none outlives its session. There is one per process.
type Supervisor struct {
	cfg      Config
	mark     string // value of MarkAgent
	fences   fences // the cgroups that sessions' are made in
	orphans  bool   // orphans of sessions become our children
	ttyGroup int

	mu sync.Mutex // also held while a process is being started, so that the reaper knows it
	// live are the main processes that run, by pid.
	live map[int]*Process
}

// NewSupervisor prepares the machine: where cgroups (v2) can't be used, orphaned processes of sessions become this
// process's children until ctx ends.
func NewSupervisor(ctx context.Context, cfg Config) (*Supervisor, error) {
	s := &Supervisor{cfg: cfg, mark: string(cfg.Instance) + "/" + string(cfg.Boot), live: map[int]*Process{}, ttyGroup: cfg.TTYGroup}
	if s.ttyGroup == 0 {
		s.ttyGroup = systemTTYGroup()
	}
	if !cfg.NoCgroup {
		s.fences = findFences(s.cgroupName(""), !cfg.NoCgroupV2)
	}
	if !s.fences.held() || os.Getpid() == 1 {
		if err := s.adoptOrphans(ctx); err != nil {
			return nil, fmt.Errorf("become the reaper of orphans: %w", err)
		}
	}
	return s, nil
}

// Holds says what holds the processes of a session together, for logs and status.
func (s *Supervisor) Holds() string {
	if s.fences.held() {
		return s.fences.hold.describe()
	}
	if s.orphans {
		return "subreaper"
	}
	return "process groups"
}

// Unenforced names the limits that this machine can't enforce.
func (s *Supervisor) Unenforced() []string {
	var missing []string
	if s.cfg.Limits.Processes > 0 && !s.fences.limitsProcesses() {
		missing = append(missing, LimitProcesses)
	}
	if s.cfg.Limits.Memory > 0 && !s.fences.limitsMemory() {
		missing = append(missing, LimitMemory)
	}
	return missing
}

func (s *Supervisor) forget(p *Process) {
	s.mu.Lock()
	delete(s.live, p.pid)
	s.mu.Unlock()
}

func systemTTYGroup() int {
	f, err := os.Open(groupFile)
	if err != nil {
		return -1
	}
	defer f.Close()
	return groupID(f, "tty")
}
