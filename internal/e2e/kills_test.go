package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// crowd is many sessions at once, while things happen to the programs that carry them.
type crowd struct {
	*world
	t      *testing.T
	mark   string // in the arguments of everything that runs in its sessions
	random *rand.Rand

	mu   sync.Mutex // protects the following
	runs []*crowdRun
	live map[*crowdRun]bool
}

// crowdRun is one sessctl exec and what it printed.
type crowdRun struct {
	reason string
	cmd    *exec.Cmd
	out    buffer
	errs   buffer
	done   chan struct{}
	killed bool
	code   int
}

// talk prints bursts of lines for some two seconds.
const talk = `i=0; while [ $i -lt 40 ]; do seq -f "$0 $i %g" 300; i=$((i+1)); sleep 0.05; done; exit 7`

// start begins a session on one of two instances.
func (c *crowd) start(i int) *crowdRun {
	ctx, cancel := context.WithTimeout(context.Background(), 6*patience)
	c.t.Cleanup(cancel)
	x := &crowdRun{reason: fmt.Sprintf("%s %d", c.mark, i), done: make(chan struct{})}
	x.cmd = c.ctl(ctx, "exec", "--no-stdin", "--tag", "crowd="+c.mark, "--reason", x.reason, fmt.Sprintf("web-%d", i%2+1), "--", "sh", "-c", talk, c.mark)
	x.cmd.Env = append(x.cmd.Env, "SESSCTL_SERVER="+c.url(), "SESSCTL_API_KEY="+c.key)
	x.cmd.Stdout, x.cmd.Stderr = &x.out, &x.errs
	if err := x.cmd.Start(); err != nil {
		c.t.Error(err)
		close(x.done)
		return x
	}
	c.mu.Lock()
	c.runs, c.live[x] = append(c.runs, x), true
	c.mu.Unlock()
	go func() {
		_ = x.cmd.Wait()
		x.code = x.cmd.ProcessState.ExitCode()
		c.mu.Lock()
		delete(c.live, x)
		c.mu.Unlock()
		close(x.done)
	}()
	return x
}

// session runs one session. A start that finds no server or no agent is tried again: it is none.
func (c *crowd) session(i int) {
	for try := 0; ; try++ {
		x := c.start(i)
		<-x.done
		c.mu.Lock()
		again := x.code == 255 && !x.killed && x.out.String() == "" && try < 200
		c.mu.Unlock()
		if !again {
			return
		}
		<-time.After(100 * time.Millisecond)
		i += 1_000_000 // a reason of its own
	}
}

// all runs n sessions, so many at a time, and waits for the end of their clients.
func (c *crowd) all(n, atOnce int) {
	work := make(chan int)
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for i := range work {
				c.session(i)
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wg.Wait()
}

// anyLive gives the client of a session that runs at this moment; nil: none does.
func (c *crowd) anyLive() *crowdRun {
	c.mu.Lock()
	defer c.mu.Unlock()
	for x := range c.live {
		return x
	}
	return nil
}

// kills kills what is hit, at random, until stop is closed, and counts.
func (c *crowd) kills(stop <-chan struct{}) map[string]int {
	count := map[string]int{}
	for {
		select {
		case <-stop:
			return count
		case <-time.After(time.Duration(300+c.random.IntN(1200)) * time.Millisecond):
		}
		what := []string{"client", "client", "server", "agent"}[c.random.IntN(4)]
		var err error
		switch what {
		case "client":
			x := c.anyLive()
			if x == nil {
				continue
			}
			c.mu.Lock()
			x.killed = true
			c.mu.Unlock()
			_ = x.cmd.Process.Kill() // it may have ended by itself
		case "server":
			err = errors.Join(c.stopServer(syscall.SIGKILL), c.startServer())
		case "agent":
			name := fmt.Sprintf("web-%d", c.random.IntN(2)+1)
			err = errors.Join(c.stopAgent(name, syscall.SIGKILL), c.startAgent(name))
		}
		if err != nil {
			c.t.Errorf("kill the %s: %v", what, err)
			return count
		}
		count[what]++
	}
}

func newCrowd(t *testing.T, options ...func(*world)) *crowd {
	t.Helper()
	w, err := newWorld("", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.finish(t) })
	w.mustAccept(t)
	c := &crowd{world: w, t: t, mark: "crowd-" + string(sess.NewBootID())[4:], random: seeded(t), live: map[*crowdRun]bool{}}
	if err := w.do("org", "set", "session-grace", "15s"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"web-1", "web-2"} {
		if err := w.addAgent(name); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// holds checks what must hold whatever happened: what a client printed is on record, each session has one end, the audit log
// verifies, and nothing is left: no process, no place taken.
func (c *crowd) holds() {
	t := c.t
	t.Helper()
	var sessions []api.Session
	if err := pollFor(3*patience, "every session is over and its recording closed", func() (err error) {
		if sessions, err = get[[]api.Session](c.world, "session", "list", "--all", "--limit", "0"); err != nil {
			return err
		}
		for _, s := range sessions {
			if s.EndedAt == nil || s.RecordingState == sess.RecordingActive {
				return fmt.Errorf("%s is %s, its recording %s", s.ID, s.State, s.RecordingState)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	byReason := map[string]api.Session{}
	ends := map[sess.EndReason]int{}
	for _, s := range sessions {
		byReason[s.Reason] = s
		ends[s.EndReason]++
	}
	whole, killed, printed := 0, 0, 0
	for _, x := range c.runs {
		out := x.out.String()
		s, ok := byReason[x.reason]
		if !ok || s.StartedAt == nil {
			if out != "" {
				t.Errorf("%s printed %d bytes and is no session that began", x.reason, len(out))
			}
			continue
		}
		a := c.ask(nil, "recording", "export", string(s.ID), "--format", "text")
		if a.code != 0 || !strings.HasPrefix(string(a.out), out) {
			t.Errorf("%s: a client printed %d bytes that its recording of %d bytes (%s) does not begin with: %s", s.ID, len(out), len(a.out), s.RecordingState, a.err)
		}
		if s.Bytes.Out != int64(len(a.out)) && s.RecordingState == sess.RecordingComplete {
			t.Errorf("%s: %d bytes of output are counted and %d recorded", s.ID, s.Bytes.Out, len(a.out))
		}
		printed += len(out)
		switch {
		case x.killed:
			killed++
		case x.code == 7:
			whole++
			if n := bytes.Count([]byte(out), []byte("\n")); n != 40*300 {
				t.Errorf("%s ended well and printed %d lines", s.ID, n)
			}
		case s.EndReason == sess.EndExit && x.code != 255:
			t.Errorf("%s: the client says %d: %s", s.ID, x.code, x.errs.String())
		}
	}
	t.Logf("%d sessions, %d of them whole, %d clients killed, %d bytes printed and on record; ends: %v", len(sessions), whole, killed, printed, ends)
	if err := c.evidence(); err != nil {
		t.Error(err)
	}
	if err := poll("no process of a session is left", func() error {
		out, _ := exec.Command("pgrep", "-a", "-f", "seq -f|"+c.mark).Output() // it fails when there is none
		if left := strings.TrimSpace(string(out)); strings.Contains(left, c.mark) {
			return errors.New(left)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// places counts the connections that the database holds.
func places(t *testing.T, driver, source string) (n int) {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM connection").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestKills kills server, agents and clients at random while many sessions run.
func TestKills(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short")
	}
	sessions, atOnce := 24, 6
	if long() {
		sessions, atOnce = 200, 20
	}
	c := newCrowd(t)
	stop := make(chan struct{})
	killed := make(chan map[string]int, 1)
	go func() { killed <- c.kills(stop) }()
	c.all(sessions, atOnce)
	close(stop)
	t.Logf("killed: %v", <-killed)
	c.holds()
	if n := places(t, "sqlite", "file:"+c.path("data", "sess.db")+"?mode=ro"); n != 0 {
		t.Errorf("%d places of connections are still taken", n)
	}
}

// lockedFor is how long TestLockedDatabase keeps the server from its database.
const lockedFor = 10 * time.Second

// lockedUnder runs sessions, and has another program hold the database for lockedFor meanwhile.
func lockedUnder(t *testing.T, c *crowd, driver, source string, statements ...string) {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	held := make(chan error, 1)
	go func() {
		<-time.After(time.Second)
		held <- func() error {
			conn, err := db.Conn(t.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			for _, s := range statements {
				if _, err := conn.ExecContext(t.Context(), s); err != nil {
					return fmt.Errorf("%s: %w", s, err)
				}
			}
			<-time.After(lockedFor)
			_, err = conn.ExecContext(t.Context(), "ROLLBACK")
			return err
		}()
	}()
	began := time.Now()
	c.all(16, 4)
	if err := <-held; err != nil {
		t.Fatal(err)
	}
	t.Logf("it took %s", time.Since(began).Round(time.Second))
	c.holds()
	whole := 0
	for _, x := range c.runs {
		if x.code == 7 {
			whole++
		}
	}
	if whole < 12 { // those that ran already, and those that waited
		t.Errorf("only %d of %d sessions came through", whole, len(c.runs))
	}
	if n := places(t, driver, source); n != 0 {
		t.Errorf("%d places of connections are still taken", n)
	}
}

// TestLockedDatabase: while somebody else holds the database for 10 s, what runs goes on, and in the end everything is on record.
func TestLockedDatabase(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short")
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		c := newCrowd(t)
		lockedUnder(t, c, "sqlite", "file:"+c.path("data", "sess.db"), "PRAGMA busy_timeout = 20000", "BEGIN EXCLUSIVE")
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		if os.Getenv("SESS_TEST_POSTGRES") == "" && !long() {
			t.Skip("SESS_TEST_POSTGRES is not set")
		}
		url := postgresURL(t)
		c := newCrowd(t, func(w *world) { w.flags = []string{"--database", url} })
		lockedUnder(t, c, "pgx", url, "BEGIN", "LOCK TABLE session, audit_event IN ACCESS EXCLUSIVE MODE")
	})
}
