package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
)

// admin runs sess-server admin on w's server.
func (w *world) admin(args ...string) answer {
	return result(exec.Command(filepath.Join(binaries, "sess-server"), append(append([]string{"admin"}, args...), "--data-dir", w.path("data"))...), nil)
}

var syslogPlace = regexp.MustCompile(`\[sess@32473 log="([^"]+)" index="(\d+)"`)

// received gives the events in a file of raw syslog messages, by log and place; of each log they must come in order.
func received(t *testing.T, file string) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	logs := map[string][]string{}
	for line := range strings.Lines(string(b)) {
		m := syslogPlace.FindStringSubmatch(line)
		if m == nil {
			continue // a test, or what rsyslog says of itself
		}
		n, _ := strconv.Atoi(m[2])
		_, body, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "] {")
		body = "{" + body
		switch have := logs[m[1]]; {
		case n > len(have):
			t.Fatalf("in log %s, place %d comes before %d", m[1], n, len(have))
		case n < len(have) && have[n] != body:
			t.Fatalf("place %d of log %s has two events: %s and %s", n, m[1], have[n], body)
		case n == len(have):
			logs[m[1]] = append(have, body)
		}
	}
	return logs
}

// The owner of the box streams all logs, those of organisations that come later, too, into a socket of the machine on which a real
// rsyslog listens. The server is killed again and again, and rsyslog is away for a time: every event comes, in order.
func TestOwnersSinkLosesNothing(t *testing.T) {
	t.Parallel()
	w := testWorld(t)
	socket := w.path("log.sock")
	conf := fmt.Sprintf("global(maxMessageSize=\"64k\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\ninput(type=\"imuxsock\" Socket=%q)\n"+
		"template(name=\"raw\" type=\"string\" string=\"%%rawmsg%%\\n\")\n*.* action(type=\"omfile\" file=%q template=\"raw\")\n", socket, w.path("rsyslog.out"))
	if a := w.admin("sink", "add", "journal", "--to", "unix://"+socket, "--from-start"); a.code != 0 {
		t.Fatalf("sink add: %d %s", a.code, a.err)
	}
	if a := w.ask(nil, "audit", "sink", "add", "mine", "--to", "unix://"+socket); a.code == 0 {
		t.Error("an admin of an organisation has its log sent to a socket of the server's machine")
	}
	state := func(want string) {
		t.Helper()
		if err := poll("the sink is "+want, func() error {
			if a := w.admin("sink", "list"); a.code != 0 || !strings.Contains(string(a.out), want) {
				return fmt.Errorf("%d %s%s", a.code, a.out, a.err)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	state("failing: there is no such socket")
	stop := w.rsyslog(t, "rsyslog", conf)
	if err := poll("a test is taken", func() error {
		if a := w.admin("sink", "test", "journal"); a.code != 0 {
			return errors.New(string(a.err))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for round := range 4 {
		for range 5 {
			if err := w.do("whoami"); err != nil {
				t.Fatal(err)
			}
		}
		switch round {
		case 1:
			if a := w.admin("org", "create", "later", "--admin", "ann@later.example"); a.code != 0 {
				t.Fatalf("org create: %s", a.err)
			}
		case 2:
			stop()
			state("failing: ")
			stop = w.rsyslog(t, "rsyslog", conf)
		}
		if err := errors.Join(w.stopServer(syscall.SIGKILL), w.startServer()); err != nil {
			t.Fatal(err)
		}
	}
	var list []api.Sink
	size := int64(0) // of all logs, at first
	if err := poll("all has come", func() error {
		a := w.admin("sink", "list", "--json")
		err := json.Unmarshal(a.out, &list)
		if err == nil && size == 0 && len(list) == 1 {
			size = list[0].Next + list[0].Waiting
		}
		if err != nil || len(list) != 1 || list[0].State(time.Now()) != "ok" || list[0].Next < size {
			return fmt.Errorf("%s %s %w", a.out, a.err, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if a := w.ask(nil, "audit", "sink", "list", "--json"); strings.TrimSpace(string(a.out)) != "[]" {
		t.Errorf("an admin of an organisation sees the owner's sinks: %s", a.out)
	}
	logs := received(t, w.path("rsyslog.out"))
	if len(logs) != 3 || len(logs["box"]) == 0 {
		t.Errorf("%d logs came, of three", len(logs))
	}
	came := int64(0)
	for _, events := range logs {
		came += int64(len(events))
	}
	if came < size {
		t.Errorf("%d events came, of %d", came, size)
	}
	w.matchesExport(t, logs)
	if a := w.admin("sink", "remove", "journal"); a.code != 0 {
		t.Errorf("sink remove: %s", a.err)
	}
	if a := w.admin("sink", "show", "journal"); a.code == 0 {
		t.Error("a sink that was removed is shown")
	}
}

// matchesExport holds what came against the log of the admin's organisation, word for word.
func (w *world) matchesExport(t *testing.T, logs map[string][]string) {
	t.Helper()
	a := w.ask(nil, "audit", "export")
	if a.code != 0 {
		t.Fatalf("audit export: %s", a.err)
	}
	lines := strings.Split(string(a.out), "\n")
	var head struct{ Log string }
	if err := json.Unmarshal([]byte(lines[0]), &head); err != nil {
		t.Fatal(err)
	}
	came := logs[head.Log]
	for _, line := range lines[1:] {
		var e struct {
			Index *int    `json:"idx"`
			Body  *string `json:"body"`
		}
		if json.Unmarshal([]byte(line), &e) != nil || e.Index == nil || *e.Index >= len(came) {
			continue
		}
		if came[*e.Index] != *e.Body {
			t.Errorf("place %d came as %s and is %s", *e.Index, came[*e.Index], *e.Body)
		}
	}
}
