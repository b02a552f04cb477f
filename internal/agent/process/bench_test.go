package process_test

import (
	"io"
	"log/slog"
	"testing"

	"github.com/sessctl/sess/internal/agent/process"
	"github.com/sessctl/sess/internal/sess"
)

// BenchmarkStart runs true from start to the end of its tree.
func BenchmarkStart(b *testing.B) {
	for name, noCgroup := range map[string]bool{"best": false, "no-cgroup": true} {
		b.Run(name, func(b *testing.B) {
			s, acc := benchSupervisor(b, noCgroup)
			for b.Loop() {
				p, err := s.Start(process.Spec{Session: sess.NewSessionID(), Account: acc, Argv: []string{"true"}})
				if err != nil {
					b.Fatal(err)
				}
				p.Wait()
				p.Kill()
				p.Close()
			}
		})
	}
}

// BenchmarkTerminalOutput reads a flood of lines from a terminal, in the pieces that a stream takes.
func BenchmarkTerminalOutput(b *testing.B) {
	for name, tty := range map[string]bool{"terminal": true, "pipe": false} {
		b.Run(name, func(b *testing.B) {
			s, acc := benchSupervisor(b, false)
			p, err := s.Start(process.Spec{Session: sess.NewSessionID(), Account: acc, TTY: tty, Argv: []string{"yes", "0123456789012345678901234567890123456789012345678901234567890"}})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { p.Kill(); p.Wait(); p.Close() }()
			buf := make([]byte, 128<<10)
			const piece = 1 << 20
			b.SetBytes(piece)
			reads := 0
			for b.Loop() {
				for left := piece; left > 0; {
					n, err := p.Output().Read(buf[:min(left, len(buf))])
					if err == io.EOF && n == 0 {
						b.Fatal("end of file")
					}
					left -= n
					reads++
				}
			}
			b.ReportMetric(float64(piece)*float64(b.N)/float64(reads), "B/read")
		})
	}
}

func benchSupervisor(b *testing.B, noCgroup bool) (*process.Supervisor, process.Account) {
	b.Helper()
	s, err := process.NewSupervisor(b.Context(), process.Config{
		Instance: sess.NewInstanceID(), Boot: sess.NewBootID(), NoCgroup: noCgroup, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	acc, err := process.Accounts{}.Self(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return s, acc
}
