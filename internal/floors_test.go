// Package internal_test holds what is true of the house as a whole: which room may use which, what the programs link,
// the habits of the code, and that the documents still say what the code does.
package internal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sessctl/sess/"

// A room is a package of internal, with the packages below its directory: they belong to it, and only it and its own
// use them.
type room struct {
	name  string
	floor int
	// why says what would be lost if a room of the same floor or below imported this one.
	why string
}

// rooms is the table of the house; ARCHITECTURE.md shows it. A room imports rooms of lower floors only. Rooms of the same
// floor do not know each other: what one needs of another is an interface it declares, and server binds the two.
var rooms = []room{
	{"sess", 0, "the nouns stand on nothing but the standard library, so that everything can stand on them"},
	{"wire", 1, "frames are bytes with rules: what sends them is above"},
	{"api", 1, "nouns are older than the HTTP that carries them; a room that serves or calls imports api, not the other way round"},
	{"policy", 1, "a decision is a pure function: nothing it judges may depend on how it judges"},
	{"audit", 1, "the log is verified offline by programs that know nothing of the rooms that write it"},
	{"outbound", 1, "a call to a stranger knows nothing of what it is about, so that everything that calls is guarded alike"},
	{"recording", 2, "a recording can be read by programs that have no server, no network and no database"},
	{"link", 2, "frames and recordings make sense without a network; tests drive them without one"},
	{"store", 2, "sessctl and sess-agent would link a database"},
	{"gate", 3, "what decides and records stands above what it guards with; a room below it could act without being asked"},
	{"identity", 4, "who people are is for the server alone; rooms get a sess.Principal"},
	{"broker", 4, "the life of sessions is for the server alone; relay and agents see tickets and offers"},
	{"trail", 4, "it lets out what the gate recorded: what is recorded must not depend on who looks at it"},
	{"alert", 4, "it finds in the log what is unusual: nothing that is done must wait for it or depend on it"},
	{"relay", 4, "it knows no users and no SQL; those who need it declare what they need of it"},
	{"agent", 4, "it runs what it is offered: the rest of the house speaks to it by wire only"},
	{"client", 4, "it drives sessions for a person or a script: the rest of the house speaks to it by wire and API only"},
	{"cli", 5, "flags and terminals are the last step before a person"},
	{"server", 6, "it assembles the rooms; a room that knew the assembly could not be tested or used without it"},
}

// drivers use the house from outside, as people do: they may import anything, and nothing imports them.
var drivers = []string{"e2e", "bench"}

// notLinked are packages that must stay out of a room or program, however far down, and why.
var notLinked = []struct {
	in     []string // packages; their dependencies count
	never  []string // prefixes of import paths
	reason string
}{
	{
		[]string{"cmd/sessctl", "cmd/sess-agent"},
		[]string{module + "internal/store", module + "internal/gate", module + "internal/identity", module + "internal/broker", module + "internal/relay", module + "internal/outbound", module + "internal/trail", module + "internal/alert", module + "internal/server"},
		"what the server knows and decides has no business on people's machines and instances",
	},
	{
		[]string{"cmd/sessctl", "cmd/sess-agent", "internal/relay", "internal/policy", "internal/audit", "internal/recording"},
		[]string{"database/sql", "modernc.org/sqlite", "github.com/jackc/pgx", "github.com/pressly/goose"},
		"they persist nothing in a database",
	},
	{
		[]string{"cmd/sessctl", "cmd/sess-agent", "internal/identity", "internal/broker", "internal/relay"},
		[]string{"github.com/danielgtaylor/huma"},
		"how the API is bound is known to server alone",
	},
	{
		[]string{"cmd/sess-agent"},
		[]string{module + "internal/recording", module + "internal/policy", module + "internal/audit", module + "internal/client", module + "internal/cli", "github.com/cedar-policy", "github.com/charmbracelet", "github.com/klauspost", "github.com/spf13/viper"},
		"the agent is thin: it runs processes and carries their bytes",
	},
	{
		[]string{"cmd/sess-server"},
		[]string{module + "internal/agent", module + "internal/client", module + "internal/cli"},
		"the server runs nothing on itself for anybody",
	},
	{
		[]string{"internal/sess", "internal/wire", "internal/recording"},
		[]string{"net/http", "crypto/tls", "os/exec"},
		"the ground floor does no network and starts no processes",
	},
	{
		[]string{"internal/policy"},
		[]string{"net/http", "os/exec"},
		"a decision is a pure function",
	},
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// packages asks the go command about packages of the module.
func packages(t *testing.T, patterns ...string) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports,Deps"}, patterns...)...)
	cmd.Dir = ".."
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, errs.String())
	}
	var list []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// roomOf gives the room an import path belongs to; ok is false for what is not in the house.
func roomOf(path string) (r room, part string, ok bool) {
	rest, inside := strings.CutPrefix(path, module+"internal/")
	if !inside {
		return room{}, "", false
	}
	name, part, _ := strings.Cut(rest, "/")
	for _, r := range rooms {
		if r.name == name {
			return r, part, true
		}
	}
	return room{name: name, floor: -1}, part, true
}

// forbidden says why from must not import to, or nothing.
func forbidden(from, to string) string {
	f, fromPart, inside := roomOf(from)
	t, toPart, ok := roomOf(to)
	switch {
	case !ok || inside && slices.Contains(drivers, f.name):
		return ""
	case slices.Contains(drivers, t.name):
		return "internal/" + t.name + " drives the house from outside"
	case t.floor < 0:
		return "internal/" + t.name + " has no floor: give it one in internal/floors_test.go and ARCHITECTURE.md"
	case toPart == "storetest":
		return "storetest is for tests"
	case inside && f.name == t.name:
		if fromPart == "storetest" {
			return ""
		}
		if fromPart != "" && toPart == "" {
			return "a part of a room does not know the room"
		}
		return ""
	case toPart != "":
		return "internal/" + t.name + "/" + toPart + " is a part of " + t.name + ", and only " + t.name + " uses it"
	case inside && t.floor >= f.floor:
		return fmt.Sprintf("imports go down only (%s is on floor %d, %s on %d): %s", f.name, f.floor, t.name, t.floor, t.why)
	}
	return ""
}

func TestImportsGoDownOnly(t *testing.T) {
	found := map[string]bool{}
	for _, p := range packages(t, "./cmd/...", "./internal/...") {
		if r, _, ok := roomOf(p.ImportPath); ok {
			if r.floor < 0 && !slices.Contains(drivers, r.name) {
				t.Errorf("internal/%s has no floor: give it one in internal/floors_test.go and ARCHITECTURE.md", r.name)
			}
			found[r.name] = true
		}
		for _, imported := range p.Imports {
			if why := forbidden(p.ImportPath, imported); why != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, imported, why)
			}
		}
	}
	for _, r := range rooms {
		if !found[r.name] {
			t.Errorf("room %s is in the table and not in the house", r.name)
		}
	}
}

// The rules themselves: a test that forbids nothing would pass too.
func TestFloorsForbid(t *testing.T) {
	for _, c := range []struct {
		from, to string
		allowed  bool
	}{
		{"internal/broker", "internal/store", true},
		{"internal/store", "internal/gate", false},
		{"internal/broker", "internal/relay", false},
		{"internal/client", "internal/server", false},
		{"internal/recording", "internal/recording/vt", true},
		{"internal/recording/vt", "internal/recording", false},
		{"internal/relay", "internal/recording/vt", false},
		{"internal/store", "internal/store/storetest", false},
		{"internal/server", "internal/util", false},
		{"cmd/sess-agent", "internal/agent", true},
		{"internal/bench", "internal/server", true},
		{"internal/server", "internal/e2e", false},
	} {
		if why := forbidden(module+c.from, module+c.to); (why == "") != c.allowed {
			t.Errorf("forbidden(%s, %s) = %q, want allowed %v", c.from, c.to, why, c.allowed)
		}
	}
}

func TestWhatIsNotLinked(t *testing.T) {
	for _, rule := range notLinked {
		for _, in := range rule.in {
			deps := packages(t, "./"+in)[0].Deps
			for _, never := range rule.never {
				if i := slices.IndexFunc(deps, func(d string) bool { return d == never || strings.HasPrefix(d, never+"/") }); i >= 0 {
					t.Errorf("%s links %s: %s", in, deps[i], rule.reason)
				}
			}
		}
	}
}

// maxAgent is what sess-agent may weigh, bytes: it is copied to every machine.
const maxAgent = 15_000_000

func TestAgentIsSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: builds sess-agent")
	}
	file := filepath.Join(t.TempDir(), "sess-agent")
	build(t, file, "./cmd/sess-agent")
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("sess-agent: %d bytes", st.Size())
	if st.Size() > maxAgent {
		t.Errorf("sess-agent weighs %d bytes, more than the %d it may", st.Size(), maxAgent)
	}
}

// build builds a program for size and use, as scripts/quickstart does.
func build(t *testing.T, file, pkg string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", file, pkg)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestArchitectureShowsTheFloors(t *testing.T) {
	text := document(t, "ARCHITECTURE.md")
	shown := map[string]int{}
	for _, row := range regexp.MustCompile("(?m)^\\| (\\d) \\| `([a-z]+)` \\|").FindAllStringSubmatch(text, -1) {
		shown[row[2]], _ = strconv.Atoi(row[1])
	}
	for _, r := range rooms {
		floor, ok := shown[r.name]
		if !ok || floor != r.floor {
			t.Errorf("ARCHITECTURE.md: room %s on floor %d (shown: %v), want floor %d", r.name, floor, ok, r.floor)
		}
		delete(shown, r.name)
	}
	for name := range shown {
		t.Errorf("ARCHITECTURE.md has a room %s that is not in the house", name)
	}
}
