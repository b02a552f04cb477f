package link

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessctl/sess/internal/wire"
)

// pipeNet is a network of one address whose connections are in memory, so that time can be made to pass.
type pipeNet struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipeNet) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipeNet) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipeNet) Addr() net.Addr { return &net.TCPAddr{} }

// pair gives the two ends of a WebSocket in memory. Frames of one side are swallowed once its mute is closed.
func pair(t *testing.T, subprotocol string) (client, server *Conn, mute chan struct{}) {
	t.Helper()
	l := &pipeNet{conns: make(chan net.Conn, 1), done: make(chan struct{})}
	accepted := make(chan *Conn, 1)
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(w, r, subprotocol)
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	})}
	go srv.Serve(l)
	mute = make(chan struct{})
	u, _ := url.Parse("http://sess.test")
	d := &Dialer{Server: Server{URL: u}, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }}
	d.HTTPClient().Transport.(*transport).base.DialContext = nil
	d.http.Transport.(*transport).base.Dial = func(string, string) (net.Conn, error) { //nolint:staticcheck // no context needed
		a, b := net.Pipe()
		l.conns <- b
		return &muted{Conn: a, mute: mute}, nil
	}
	client, err := d.Dial(t.Context(), "http://sess.test/x", subprotocol, nil)
	if err != nil {
		t.Fatal(err)
	}
	server = <-accepted
	t.Cleanup(func() {
		client.Close()
		server.Close()
		d.CloseIdle()
		_ = srv.Close()
	})
	return client, server, mute
}

// muted swallows what is written once mute is closed: a half-open connection.
type muted struct {
	net.Conn
	mute chan struct{}
}

func (m *muted) Write(p []byte) (int, error) {
	select {
	case <-m.mute:
		return len(p), nil
	default:
		return m.Conn.Write(p)
	}
}

func TestIdleConnectionLives(t *testing.T) {
	for _, sub := range []string{wire.Subprotocol, wire.ControlSubprotocol} {
		t.Run(sub, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server, _ := pair(t, sub)
				errs := make(chan error, 2)
				for _, c := range []*Conn{client, server} {
					go func() {
						for {
							var err error
							if sub == wire.Subprotocol {
								_, _, err = c.Read()
							} else {
								_, err = c.ReadControl()
							}
							if err != nil {
								errs <- err
								return
							}
						}
					}()
				}
				select {
				case err := <-errs:
					t.Errorf("an idle connection ended: %v", err)
				case <-time.After(24 * time.Hour):
				}
			})
		})
	}
}

func TestDeadPeerIsKnownWithin30s(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server, mute := pair(t, wire.Subprotocol)
		go func() {
			for {
				if _, _, err := client.Read(); err != nil {
					return
				}
			}
		}()
		time.Sleep(time.Hour) //nolint:forbidigo // in a bubble
		close(mute)
		start := time.Now()
		var err error
		for err == nil {
			_, _, err = server.Read()
		}
		if d := time.Since(start); !errors.Is(err, ErrDead) || d > 30*time.Second || d < 15*time.Second {
			t.Errorf("Read = %v after %v, want %v within 30 s of the last byte", err, d, ErrDead)
		}
	})
}

// TestBeatsAreOftenEnough: NATs forget a connection after 60 s, some after 30.
func TestBeatsAreOftenEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server, _ := pair(t, wire.Subprotocol)
		go func() {
			for {
				if _, _, err := client.Read(); err != nil {
					return
				}
			}
		}()
		last := time.Now()
		for range 20 {
			h, _, err := server.Read()
			if err != nil || h.Type != wire.Beat {
				t.Fatalf("Read = %v, %v", h, err)
			}
			if gap := time.Since(last); gap > 15*time.Second {
				t.Errorf("%v between two beats", gap)
			}
			last = time.Now()
		}
	})
}
