package agent

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/agent/process"
	"github.com/sessctl/sess/internal/agent/programs"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Times of an agent's end and of its housekeeping.
const (
	hangupPatience = time.Second     // between SIGHUP and SIGKILL, for the last output
	shutdownWait   = 3 * time.Second // sessions' last words when the agent ends
	wordsStep      = 50 * time.Millisecond
	trimDelay      = 2 * time.Second // after the last session, or connecting, until memory goes back to the system
)

// Options are what an Agent needs.
type Options struct {
	State   StateDir
	Config  Config
	Version string
	Log     *slog.Logger
	Proxy   func(*http.Request) (*url.URL, error) // nil: http.ProxyFromEnvironment
	// NoCgroup holds sessions' processes together without cgroups.
	NoCgroup bool
	// Clock goes on while the machine sleeps, and is never set; nil is this machine's own. Leases are counted by it.
	Clock func() time.Duration
	// Accounts is where users are looked up; the zero value is this machine's own.
	Accounts process.Accounts
}

// Agent is one life of the agent on an instance.
type Agent struct {
	opts   Options
	id     Identity
	key    ed25519.PrivateKey
	broker []ed25519.PublicKey
	boot   sess.BootID
	server link.Server
	log    *slog.Logger
	self   process.Account
	sup    *process.Supervisor
	// programs tells what runs in sessions; nil: noPrograms says why not.
	programs   *programs.Watcher
	noPrograms *programs.Unavailable
	dialer     *link.Dialer

	work    sync.WaitGroup // sessions and offers being looked at; Run waits for them
	writing sync.Mutex     // held while the status file is written; taken before mu

	mu sync.Mutex // protects the following
	// ctl is the control link that has been welcomed, nil without one; nonce is its challenge.
	ctl   *link.Conn
	nonce string
	// up is closed when a control link is there and replaced when it is lost.
	up chan struct{}
	// down is closed when ctl is lost.
	down     chan struct{}
	lost     time.Time // when the last control link was lost
	sessions map[sess.SessionID]*session
	unsaid   []wire.Control   // ends of sessions that wait for a control link
	lapses   []sess.SessionID // sessions that ended by their lease, until a server has heard of it
	streams  *link.Dialer     // for stream URLs on another host than the server's
	status   Status
	trim     *time.Timer
	closing  bool
}

// New reads the identity and makes an Agent. Run runs it.
func New(opts Options) (*Agent, error) {
	id, key, err := opts.State.Load()
	if err != nil {
		return nil, err
	}
	server, err := link.ParseServer(id.Server)
	if err != nil {
		return nil, err
	}
	if opts.Clock == nil {
		opts.Clock = bootClock
	}
	return &Agent{
		opts: opts, id: id, key: key, broker: id.brokerKeys(), boot: sess.NewBootID(), server: server, log: opts.Log,
		dialer: &link.Dialer{Server: server, Proxy: opts.Proxy, UserAgent: "sess-agent/" + opts.Version},
		up:     make(chan struct{}), lost: time.Now(), sessions: map[sess.SessionID]*session{},
	}, nil
}

// Run keeps the instance connected and runs its sessions until ctx ends; then it ends them all. The error is about the
// start: a running agent gives up on nothing.
func (a *Agent) Run(ctx context.Context) error {
	unlock, err := a.opts.State.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := process.CleanSignals(ctx); err != nil {
		return err
	}
	if a.self, err = a.opts.Accounts.Self(ctx); err != nil {
		return fmt.Errorf("find out who I am: %w", err)
	}
	// Sessions outlive ctx by their last words, and so does what watches over them.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	a.sup, err = process.NewSupervisor(life, process.Config{
		Instance: a.id.Instance, Boot: a.boot, Log: a.log, NoCgroup: a.opts.NoCgroup,
		Limits: process.Limits{Processes: a.opts.Config.MaxProcesses, Memory: a.opts.Config.MaxMemory},
	})
	if err != nil {
		return err
	}
	a.openPrograms(life)
	if n := a.sup.KillLeftovers(); n > 0 {
		a.log.Warn("killed processes that an earlier agent had left", "count", n)
	}
	a.log.Info("sess-agent starts", "version", a.opts.Version, "instance", a.id.Instance, "name", a.id.Name,
		"server", a.server.URL, "user", a.self.Name, "holds", a.sup.Holds())
	a.warnAtStart()
	a.reportFences()
	a.report(func(s *Status) { s.PID, s.Boot, s.Since = os.Getpid(), a.boot, time.Now() })
	a.keep(ctx, life)
	a.shutdown()
	a.report(func(s *Status) { s.Connected, s.PID, s.Sessions = false, 0, 0 })
	a.closeIdle()
	return nil
}

func (a *Agent) warnAtStart() {
	if os.Getuid() == 0 && a.opts.Config.DefaultUser == "" {
		a.log.Info("runs as root without default_user: sessions that name no user will be refused")
	}
}

// reportFences says once what holds and limits sessions' processes here, and what does not.
func (a *Agent) reportFences() {
	missing := strings.Join(a.sup.Unenforced(), ", ")
	if missing != "" {
		a.log.Warn("limits of the owner's file are not enforced: this machine has no cgroup controllers for them, or they are not the agent's to use", "limits", missing)
	}
	if holds := a.sup.Holds(); !strings.HasPrefix(holds, "cgroup") {
		a.log.Warn("there are no cgroups for sessions: their processes are found by descent, terminal and environment", "holds", holds)
	}
	a.report(func(s *Status) { s.Holds, s.Unenforced = a.sup.Holds(), missing })
}

// shutdown ends all sessions, softly first, and waits for what the agent has started.
func (a *Agent) shutdown() {
	a.mu.Lock()
	a.closing = true
	var all []*session
	for _, s := range a.sessions {
		all = append(all, s)
	}
	if a.trim != nil {
		a.trim.Stop()
	}
	a.mu.Unlock()
	for _, s := range all {
		s.hangup("the agent is stopping", "")
	}
	began := time.Now()
	for _, s := range all {
		for !s.waitGone(wordsStep) {
			if time.Since(began) >= s.lastWords() { // less of it once the client has left
				s.end(errors.New("the agent is stopping"))
				break
			}
		}
	}
	a.work.Wait()
}

// add makes s one of the running sessions.
func (a *Agent) add(s *session) *sess.Error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closing:
		return sess.New(sess.CodeUnavailable, "the agent is stopping", "try again in a moment")
	case a.sessions[s.offer.Session] != nil:
		return sess.New(sess.CodeConflict, "the session runs already", "")
	case len(a.sessions) >= a.opts.Config.maxSessions():
		return sess.New(sess.CodeLimited, fmt.Sprintf("the instance runs %d sessions, as many as its owner allows", len(a.sessions)),
			"end one, or have the owner raise max_sessions")
	}
	a.sessions[s.offer.Session] = s
	a.work.Add(1) // for session.run
	if a.trim != nil {
		a.trim.Stop()
	}
	return nil
}

// drop forgets a session that is over.
func (a *Agent) drop(s *session) {
	a.mu.Lock()
	delete(a.sessions, s.offer.Session)
	a.rest()
	a.mu.Unlock()
	a.work.Done()
}

// rest gives memory back in a while if no session begins meanwhile. mu is held.
func (a *Agent) rest() {
	if len(a.sessions) > 0 || a.closing {
		return
	}
	if a.trim != nil {
		a.trim.Stop()
	}
	a.trim = time.AfterFunc(trimDelay, giveBack)
}

// session finds a running session.
func (a *Agent) session(id sess.SessionID) *session {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sessions[id]
}

// sessionIDs lists what runs, for the hello.
func (a *Agent) sessionIDs() []sess.SessionID {
	a.mu.Lock()
	defer a.mu.Unlock()
	ids := make([]sess.SessionID, 0, len(a.sessions))
	for id := range a.sessions {
		ids = append(ids, id)
	}
	return ids
}

// streamDialer gives the dialer for a stream's URL: the server's own, or one for the node that the URL names.
func (a *Agent) streamDialer(raw string) (*link.Dialer, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("stream URL %q makes no sense", raw)
	}
	secure := u.Scheme == "wss" || u.Scheme == "https"
	if !secure && a.server.URL.Scheme == "https" {
		return nil, fmt.Errorf("stream URL %q is not encrypted", raw)
	}
	if u.Host == a.server.URL.Host {
		return a.dialer, nil
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.streams == nil || a.streams.Server.URL.Host != u.Host || a.streams.Server.URL.Scheme != scheme {
		node := link.Server{URL: &url.URL{Scheme: scheme, Host: u.Host}, Pin: a.server.Pin}
		if a.streams != nil {
			a.streams.CloseIdle()
		}
		a.streams = &link.Dialer{Server: node, Proxy: a.opts.Proxy, UserAgent: a.dialer.UserAgent}
	}
	return a.streams, nil
}

func (a *Agent) closeIdle() {
	a.dialer.CloseIdle()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.streams != nil {
		a.streams.CloseIdle()
	}
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
