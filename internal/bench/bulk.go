//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// Files that bytes come from.
const (
	textFile   = "text"   // for terminals: lines of words and numbers, some in colour
	randomFile = "random" // nothing can compress it
	randomSize = 32 * mib
)

func (b *bench) textSize() int {
	if b.quick {
		return 8 * mib
	}
	return 32 * mib
}

// bulkSize is how much runs through a command, bytes; a multiple of randomSize.
func (b *bench) bulkSize() int {
	if b.quick {
		return 128 * mib
	}
	return 512 * mib
}

func (b *bench) makeText() error {
	var text bytes.Buffer
	for i := 0; text.Len() < b.textSize(); i++ {
		colour := 31 + i%7
		fmt.Fprintf(&text, "%08d \x1b[%dm%-12s\x1b[0m GET /v1/instances/%x/sessions?page=%d %d ms\n", i, colour, "worker"+fmt.Sprint(i%13), i*2654435761%(1<<32), i%97, i*7919%1000)
	}
	text.Truncate(b.textSize())
	return os.WriteFile(filepath.Join(b.dir, textFile), text.Bytes(), 0o600)
}

func (b *bench) makeRandom() error {
	p := make([]byte, randomSize)
	if _, err := rand.Read(p); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.dir, randomFile), p, 0o600)
}

// terminalOutput measures how fast a long text comes through a terminal.
func (b *bench) terminalOutput(s *system, round int) error {
	const ready, end = "output is ready", "output is over"
	script := fmt.Sprintf(`stty -echo; O='output is'; echo "$O ready"; read go; cat %s; echo "$O over"`, quote(filepath.Join(b.dir, textFile)))
	t, err := openTerminal(s.shell(script))
	if err != nil {
		return err
	}
	defer t.close()
	if err := t.expectText(ready); err != nil {
		return err
	}
	if err := t.drain(50 * time.Millisecond); err != nil {
		return err
	}
	began := time.Now()
	if err := t.write("\r"); err != nil {
		return err
	}
	got := 0
	err = t.expect("end", func(tail []byte) bool {
		got = len(tail)
		return bytes.Contains(last(tail, 1<<10), []byte(end))
	})
	if err != nil {
		return fmt.Errorf("%w (%d)", err, got)
	}
	b.results.add("output", s.name, round, float64(b.textSize())/mib/time.Since(began).Seconds())
	_, err = s.settle()
	return err
}

// flow is one way through a command.
type flow struct {
	metric string
	in     bool
	random bool
}

// bulk measures commands that print much and commands that read much: the time from a full transfer, less that of a
// command that does nothing, and the CPU time of every process.
func (b *bench) bulk(s *system, round int) error {
	if s.exec == nil {
		return nil
	}
	flows := []flow{{"stdout", false, false}, {"stdin", true, false}}
	if s.name == ours { // only we compress, and only behind the session
		flows = append(flows, flow{"stdout_random", false, true}, flow{"stdin_random", true, true})
	}
	for _, f := range flows {
		empty, err := b.emptyCommand(s)
		if err != nil {
			return err
		}
		var took time.Duration
		use, err := s.resources(func() (cpu time.Duration, err error) {
			began := time.Now()
			cpu, err = b.transfer(s, f)
			took = time.Since(began)
			return cpu, err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", f.metric, err)
		}
		b.results.add(f.metric, s.name, round, float64(b.bulkSize())/mib/max(took-empty, time.Millisecond).Seconds())
		var sum time.Duration
		perGiB := float64(gib) / float64(b.bulkSize())
		for name, d := range use {
			sum += d
			b.results.addPart(f.metric, s.name, name, d.Seconds()*perGiB)
		}
		b.results.add("cpu_"+f.metric, s.name, round, sum.Seconds()*perGiB)
	}
	return nil
}

// source is the command that makes the bytes.
func (b *bench) source(random bool) []string {
	if !random {
		return []string{"head", "-c", fmt.Sprint(b.bulkSize()), "/dev/zero"}
	}
	argv := []string{"cat"}
	for range b.bulkSize() / randomSize {
		argv = append(argv, filepath.Join(b.dir, randomFile))
	}
	return argv
}

// transfer runs the bytes through a command and gives the CPU time of the client.
func (b *bench) transfer(s *system, f flow) (time.Duration, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	var errs bytes.Buffer
	if !f.in {
		cmd := s.exec(b.source(f.random)...)
		cmd.Stdout, cmd.Stderr = null, &errs
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		return s.finish(cmd)
	}
	argv := b.source(f.random)
	feeder := exec.Command(argv[0], argv[1:]...)
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	feeder.Stdout = w
	if err := feeder.Start(); err != nil {
		w.Close()
		return 0, err
	}
	w.Close()
	cmd := s.exec("wc", "-c")
	var count strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r, &count, &errs
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	r.Close() // only the client holds it: were it to die, the feeder would end
	cpu, err := s.finish(cmd)
	if werr := feeder.Wait(); err == nil {
		err = werr
	}
	if got := strings.TrimSpace(count.String()); err == nil && got != fmt.Sprint(b.bulkSize()) {
		err = fmt.Errorf("%s bytes of %d arrived: %w", got, b.bulkSize(), io.ErrUnexpectedEOF)
	}
	return cpu, err
}
