//go:build linux

package main

import (
	"bytes"
	"fmt"
	"time"
)

// echoScript gives back every byte as it comes, without the kernel's echo, and says so.
const echoScript = `stty raw -echo; printf 'echo is %s' ready; exec cat`

// echoReady is what the script prints; the words do not stand in it like this.
const echoReady = "echo is ready"

// keyPause lies between keys: long enough that everything between sleeps again, as with a person who types.
const keyPause = 4 * time.Millisecond

// openEcho opens a terminal on a program that echoes, and waits until all is quiet.
func openEcho(s *system) (*terminal, error) {
	t, err := openTerminal(s.shell(echoScript))
	if err != nil {
		return nil, err
	}
	err = t.expectText(echoReady)
	if err == nil {
		err = t.drain(100 * time.Millisecond)
	}
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// keyEcho types keys one by one and measures until each is back.
func (b *bench) keyEcho(s *system, round int) error {
	t, err := openEcho(s)
	if err != nil {
		return err
	}
	defer t.close()
	keys, warm := 300, 30
	if b.quick {
		keys = 150
	}
	var micros []float64
	pause := time.NewTicker(keyPause)
	defer pause.Stop()
	for i := range keys + warm {
		<-pause.C
		k := byte('a' + i%26)
		began := time.Now()
		if err := t.write(string(rune(k))); err != nil {
			return err
		}
		if err := t.expect("echo", func(tail []byte) bool { return bytes.IndexByte(last(tail, 1), k) >= 0 }); err != nil {
			return err
		}
		if i >= warm {
			micros = append(micros, float64(time.Since(began).Nanoseconds())/1e3)
		}
	}
	b.results.add("echo_p50", s.name, round, quantile(micros, 0.5))
	b.results.add("echo_p99", s.name, round, quantile(micros, 0.99))
	return nil
}

// The user of a slow terminal, for Ctrl-C.
const (
	slowRate  = 5_000_000 // bytes per second
	slowStep  = 2 * time.Millisecond
	slowFlood = time.Second // before Ctrl-C
	slowLine  = "a line of a program that should never have been started, and somebody is about to stop it"
)

// prompt of the shell for Ctrl-C; the words stand in the script in another order.
const (
	prompt       = "bench ready> "
	promptScript = `P=ready; HISTFILE= PS1="bench $P> " exec bash --norc --noprofile -i`
)

// interrupt measures from Ctrl-C to the prompt, for somebody whose terminal shows 5 MB/s of a program that prints
// without end.
func (b *bench) interrupt(s *system, round int) error {
	t, err := openTerminal(s.shell(promptScript))
	if err != nil {
		return err
	}
	defer t.close()
	if err := t.expectText(prompt); err != nil {
		return err
	}
	if err := t.write("yes '" + slowLine + "'\r"); err != nil {
		return err
	}
	if err := t.expectText("\n" + slowLine); err != nil {
		return err
	}
	long := slowFlood
	if b.quick {
		long /= 2
	}
	flood := time.Now().Add(long)
	if err := t.readSlowly(func([]byte) bool { return time.Now().After(flood) }); err != nil {
		return err
	}
	began := time.Now()
	if err := t.write("\x03"); err != nil {
		return err
	}
	var tail []byte
	err = t.readSlowly(func(p []byte) bool {
		tail = append(last(tail, len(prompt)), p...)
		return bytes.Contains(tail, []byte(prompt))
	})
	if err != nil {
		return err
	}
	b.results.add("interrupt", s.name, round, float64(time.Since(began).Microseconds())/1e3)
	return nil
}

// readSlowly reads at the rate of a slow terminal until ok.
func (t *terminal) readSlowly(ok func(p []byte) bool) error {
	ticker := time.NewTicker(slowStep)
	defer ticker.Stop()
	began, total := time.Now(), 0
	for heard := began; ; <-ticker.C {
		due := int(time.Since(began).Seconds()*slowRate) - total
		for due > 0 {
			p, err := t.read(0, due)
			if err != nil {
				return err
			}
			if len(p) == 0 {
				total += due // what was not there is not caught up
				break
			}
			heard = time.Now()
			total += len(p)
			due -= len(p)
			if ok(p) {
				return nil
			}
		}
		if time.Since(heard) > patience {
			return fmt.Errorf("nothing came for %v", patience)
		}
	}
}
