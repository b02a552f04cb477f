package relay_test

import (
	"crypto/tls"
	"io"
	"net/http/httptest"
	"testing"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// overTLS serves the world over TLS 1.3 as well.
func (w *world) overTLS() {
	w.tls = httptest.NewUnstartedServer(w.srv.Config.Handler)
	w.tls.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	w.tls.StartTLS()
	w.t.Cleanup(w.tls.Close)
}

// zeros gives n zero bytes in reads as large as asked for.
type zeros struct{ n int }

// Read implements io.Reader.
func (z *zeros) Read(b []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := min(len(b), z.n)
	z.n -= n
	return n, nil
}

// BenchmarkOutput moves output agent → relay (recorded) → client over two TLS connections; all three in this process.
func BenchmarkOutput(b *testing.B) {
	const size = 64 << 20
	w := newWorld(b)
	w.win = sess.WindowBulk
	w.overTLS()
	x := newExec(w, 0, 0, 0)
	go w.drive(b.Context(), x.client, sess.SideClient, x.gens)
	go w.drive(b.Context(), x.agent, sess.SideAgent, x.gens)
	b.SetBytes(size)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		go x.agent.Out(wire.ChannelMain).ReadFrom(&zeros{size})
		if _, err := io.CopyN(io.Discard, x.client.In(wire.ChannelMain), size); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkKey echoes one byte client → relay → agent → relay → client over TLS, recorded: the keystroke path.
func BenchmarkKey(b *testing.B) {
	w := newWorld(b)
	w.win = sess.WindowTerminal
	w.overTLS()
	x := newExec(w, 0, 0, 0)
	go w.drive(b.Context(), x.client, sess.SideClient, x.gens)
	go w.drive(b.Context(), x.agent, sess.SideAgent, x.gens)
	go x.agent.In(wire.ChannelMain).WriteTo(x.agent.Out(wire.ChannelMain))
	key := []byte("k")
	echo := func() {
		if _, err := x.client.Out(wire.ChannelMain).Write(key); err != nil {
			b.Fatal(err)
		}
		if _, err := x.client.In(wire.ChannelMain).Read(make([]byte, 1)[:1]); err != nil {
			b.Fatal(err)
		}
	}
	echo()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		echo()
	}
}
