//go:build linux

package main

import (
	"bytes"
	"fmt"
	"time"
)

// startUp measures the whole process of a command that does nothing, and an interactive shell from start to prompt: one
// without start-up files, since what the account's own do takes as long everywhere.
func (b *bench) startUp(s *system, round int) error {
	n := 5
	if b.quick {
		n = 3
	}
	var commands, prompts []float64
	for range n {
		if s.exec != nil {
			took, err := b.emptyCommand(s)
			if err != nil {
				return err
			}
			commands = append(commands, float64(took.Microseconds())/1e3)
		}
		took, err := firstPrompt(s)
		if err != nil {
			return err
		}
		prompts = append(prompts, float64(took.Microseconds())/1e3)
	}
	if len(commands) > 0 {
		b.results.add("true", s.name, round, median(commands))
	}
	b.results.add("prompt", s.name, round, median(prompts))
	return nil
}

// emptyCommand runs true.
func (b *bench) emptyCommand(s *system) (time.Duration, error) {
	cmd := s.exec("true")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("true: %w: %s", err, errs.String())
	}
	return time.Since(began), nil
}

// firstPrompt opens a shell.
func firstPrompt(s *system) (time.Duration, error) {
	began := time.Now()
	t, err := openTerminal(s.shell(promptScript))
	if err != nil {
		return 0, err
	}
	defer t.close()
	err = t.expectText(prompt)
	return time.Since(began), err
}
