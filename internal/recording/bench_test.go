package recording_test

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 4096, wire.MaxPayload} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			d, err := recording.OpenDir(b.TempDir(), recording.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			j := openJournal(b, d, sess.NewOrgID(), sess.NewSessionID())
			p := likeOutput(size)
			var at uint64
			before := cpuSeconds()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				if err := j.Append(sess.SideAgent, data(1, at), p); err != nil {
					b.Fatal(err)
				}
				at += uint64(size)
			}
			b.StopTimer()
			sum, err := j.Close(true)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric((cpuSeconds()-before)/float64(at)*(1<<30), "cpu-s/GiB")
			b.ReportMetric(float64(sum.Stored)/float64(sum.Bytes), "stored/raw")
		})
	}
}

// likeOutput gives n bytes that compress like a program's output: this package's own source, over and over.
func likeOutput(n int) []byte {
	var p []byte
	for _, name := range []string{"journal.go", "recover.go", "chain.go", "record.go"} {
		f, err := os.ReadFile(name)
		if err != nil {
			panic(err)
		}
		p = append(p, f...)
	}
	for len(p) < n {
		p = append(p, p...)
	}
	return p[:n]
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
