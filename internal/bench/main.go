//go:build linux

// Command bench measures sess beside OpenSSH, a raw TLS splice and a bare terminal: see docs/benchmarks.md. It uses the
// programs from outside, as people do, and imports none of the rooms. Start it with scripts/bench.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 1 && args[0] == "splice" {
		return splice(args[1], args[2:])
	}
	if len(args) > 1 && args[0] == "ticking" {
		return ticking(args[1])
	}
	o, err := parseOptions(args, os.Stderr)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	dir, err := os.MkdirTemp("", "sess-bench.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, ctx: ctx, dir: dir, results: newResults()}
	defer b.end()
	if err := b.prepare(); err != nil {
		return err
	}
	began := time.Now()
	err = b.measure()
	b.say("measured for %.0f s", time.Since(began).Seconds())
	if err != nil {
		return err
	}
	return b.report(began)
}

// options are what the command line asks for.
type options struct {
	quick  bool
	only   []string // names of tests; all if empty
	rounds int
	json   string // file for the results, "" for none
	state  string // a state directory of scripts/quickstart that runs already
	root   string // of the project
}

func parseOptions(args []string, out io.Writer) (options, error) {
	var o options
	var only string
	f := flag.NewFlagSet("scripts/bench", flag.ContinueOnError)
	f.SetOutput(out)
	f.BoolVar(&o.quick, "quick", false, "fewer rounds and bytes: under 90 s, for a first look")
	f.StringVar(&only, "only", "", "run only these tests, by comma: "+strings.Join(testNames(), ", "))
	f.IntVar(&o.rounds, "rounds", 0, "how often everything is measured (default 5, with --quick 2)")
	f.StringVar(&o.json, "json", "", "write the results of every round to this `file` too")
	f.StringVar(&o.state, "state", "", "measure what scripts/quickstart --state `DIR` --detach left running, and leave it running")
	f.StringVar(&o.root, "root", ".", "the project's `directory`")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", f.Arg(0))
	}
	for name := range strings.SplitSeq(only, ",") {
		if name == "" {
			continue
		}
		if !slices.Contains(testNames(), name) {
			return o, fmt.Errorf("there is no test %q, only %s", name, strings.Join(testNames(), ", "))
		}
		o.only = append(o.only, name)
	}
	if o.rounds == 0 {
		o.rounds = 5
		if o.quick {
			o.rounds = 2
		}
	}
	if o.rounds < 1 || o.rounds > maxRounds {
		return o, fmt.Errorf("--rounds is 1 to %d", maxRounds)
	}
	root, err := filepath.Abs(o.root)
	o.root = root
	return o, err
}

// maxRounds bounds --rounds.
const maxRounds = 100

// bench is one run of the program.
type bench struct {
	options
	ctx     context.Context //nolint:containedctx // one run, one context: it ends with Ctrl-C
	dir     string          // temporary
	systems []*system
	results *results
	ends    []func() // what to undo at the end, in reverse order
	locks   *lockWorld
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

func (b *bench) end() {
	for _, f := range slices.Backward(b.ends) {
		f()
	}
}

// tests in the order in which they run. One function measures one system in one round.
var tests = []struct {
	name  string
	setUp func(*bench) error
	one   func(*bench, *system, int) error
	limit int  // of rounds, 0 for none
	alone bool // compared with nothing, and run only if it is asked for
}{
	{"echo", nil, (*bench).keyEcho, 0, false},
	{"sessions", nil, (*bench).crowd, 2, false}, // before the heaps have grown with bulk
	{"output", (*bench).makeText, (*bench).terminalOutput, 0, false},
	{"start", nil, (*bench).startUp, 0, false},
	{"bulk", (*bench).makeRandom, (*bench).bulk, 3, false},
	{"interrupt", nil, (*bench).interrupt, 0, false},
	{"lock", (*bench).makeLockWorld, (*bench).lock, 3, true},
}

// compares reports whether anything is measured of others, too.
func (b *bench) compares() bool {
	for _, t := range tests {
		if !t.alone && (len(b.only) == 0 || slices.Contains(b.only, t.name)) {
			return true
		}
	}
	return false
}

func testNames() []string {
	var names []string
	for _, t := range tests {
		names = append(names, t.name)
	}
	return names
}

// measure runs the tests, each round by round and in a round system by system, so that whatever else the machine does
// meets all systems alike.
func (b *bench) measure() error {
	for _, t := range tests {
		if (len(b.only) > 0 || t.alone) && !slices.Contains(b.only, t.name) {
			continue
		}
		if t.setUp != nil {
			if err := t.setUp(b); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
		}
		rounds := b.rounds
		if t.limit > 0 {
			rounds = min(rounds, t.limit)
		}
		if t.name == "sessions" && b.quick {
			rounds = 1
		}
		for round := range rounds {
			began := time.Now()
			for _, s := range b.systems {
				if err := b.ctx.Err(); err != nil {
					return err
				}
				if err := t.one(b, s, round); err != nil {
					return fmt.Errorf("%s of %s: %w", t.name, s.name, err)
				}
			}
			b.say("%s: round %d of %d took %.1f s", t.name, round+1, rounds, time.Since(began).Seconds())
		}
	}
	return nil
}
