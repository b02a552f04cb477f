package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/user"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/agent"
	"github.com/sessctl/sess/internal/api"
	sessions "github.com/sessctl/sess/internal/client"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/server"
	"github.com/sessctl/sess/internal/sess"
)

// What a server does in a second. Both run a whole server with TLS and SQLite on loopback, clients and agent in the same
// process, on all processors of the machine; docs/benchmarks.md says what bounds them.
//
//	go test ./internal/server -run - -bench 'Logins|Sessions' -benchtime 10s -cpuprofile cpu.out

func benchServer(b *testing.B) (*server.Server, link.Server) {
	b.Helper()
	s, err := server.New(b.Context(), server.Config{DataDir: b.TempDir(), Listen: "127.0.0.1:0", Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	srv, err := link.ParseServer(s.URL())
	if err != nil {
		b.Fatal(err)
	}
	return s, srv
}

// benchAdmin accepts the first admin's invitation.
func benchAdmin(b *testing.B, s *server.Server, srv link.Server) string {
	b.Helper()
	_, tok, err := sess.ParseInviteLink(s.AdminLink())
	if err != nil {
		b.Fatal(err)
	}
	var in api.AcceptIn
	in.Body.Token, in.Body.Password, in.Body.Email = tok, password, "admin@example.com"
	c := sessions.Open(sessions.Profile{Server: srv, Version: "test"})
	defer c.Close()
	out, err := api.Call(b.Context(), c.API, api.Accept, in)
	if err != nil {
		b.Fatal(err)
	}
	return out.Token
}

// benchPeople is more than log in at once: an attempt counts as failed until it succeeds, so one account can't do it alone.
const benchPeople = 12

// BenchmarkLogins is people who log in with a password, each attempt from an address of its own (they are limited by it), over
// a connection of its own.
func BenchmarkLogins(b *testing.B) {
	s, srv := benchServer(b)
	bearer := benchAdmin(b, s, srv)
	var n atomic.Uint32
	post := func(path, bearer string, in any) ([]byte, error) {
		k := n.Add(1)
		d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1+byte(k>>16), byte(k>>8), byte(k))}, Timeout: time.Minute}
		c := &http.Client{Transport: &http.Transport{DialContext: d.DialContext, TLSClientConfig: srv.TLSConfig(), DisableKeepAlives: true}}
		return postJSON(b.Context(), c, srv.URL.String()+path, bearer, in)
	}
	var logins []map[string]string
	for i := range benchPeople {
		email := fmt.Sprintf("p%d@example.com", i)
		raw, err := post("/v1/users", bearer, map[string]string{"email": email})
		if err != nil {
			b.Fatal(err)
		}
		var out api.InviteOut
		if err := json.Unmarshal(raw, &out); err != nil {
			b.Fatal(err)
		}
		_, tok, err := sess.ParseInviteLink(out.Link)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := post("/v1/accept", "", map[string]string{"token": tok, "password": password}); err != nil {
			b.Fatal(err)
		}
		logins = append(logins, map[string]string{"email": email, "password": password})
	}
	var next atomic.Uint32
	perSecond(b, "logins/s", func() error {
		_, err := post("/v1/login", "", logins[next.Add(1)%benchPeople])
		return err
	})
}

// postJSON asks until the server is not busy, and gives the answer.
func postJSON(ctx context.Context, c *http.Client, url, bearer string, in any) ([]byte, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/json")
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		resp, err := c.Do(req)
		if err != nil {
			return nil, err
		}
		out, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err != nil:
			return nil, err
		case resp.StatusCode < http.StatusMultipleChoices:
			return out, nil
		case resp.StatusCode != http.StatusServiceUnavailable: // that says: too many at once, again
			return nil, fmt.Errorf("%s: %s %s", url, resp.Status, out)
		}
	}
}

// BenchmarkSessions is sessions of a command that does nothing, each from the call that starts it to its status: over
// connections of its own, recorded, audited, with a process on the instance.
func BenchmarkSessions(b *testing.B) {
	s, srv := benchServer(b)
	bearer := benchAdmin(b, s, srv)
	runAgent(b, s.URL(), srv, bearer)
	run := func() error {
		c := sessions.Open(sessions.Profile{Server: srv, Bearer: bearer, Version: "test"})
		defer c.Close()
		started, err := c.Start(b.Context(), sessions.StartOptions{Instance: "bench", Kind: sess.KindExec, Params: sess.Params{Argv: []string{"true"}}})
		if err != nil {
			return err
		}
		exit, err := started.Exec(b.Context(), sessions.ExecIO{Out: io.Discard, Err: io.Discard, Lines: io.Discard})
		if err == nil && exit.Status != 0 {
			err = fmt.Errorf("exit status %d", exit.Status)
		}
		return err
	}
	perSecond(b, "sessions/s", run)
}

// perSecond runs one over and over, several at a time, and reports how often it was done in a second.
func perSecond(b *testing.B, unit string, one func() error) {
	b.Helper()
	if err := one(); err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(4)
	before := cpu(b)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := one(); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), unit)
	// What else the machine does meanwhile changes how often, but hardly what each costs.
	b.ReportMetric((cpu(b)-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
}

// cpu is the time that this process and its children have had.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

// runAgent enrols an agent of this process, and waits until it is online.
func runAgent(b *testing.B, rawURL string, srv link.Server, bearer string) {
	b.Helper()
	c := sessions.Open(sessions.Profile{Server: srv, Bearer: bearer, Version: "test"})
	defer c.Close()
	token, err := api.Call(b.Context(), c.API, api.CreateToken, api.TokenIn{})
	if err != nil {
		b.Fatal(err)
	}
	state := agent.StateDir(b.TempDir())
	if _, err := agent.Enroll(b.Context(), agent.Enrolment{State: state, Server: rawURL, Token: token.Secret, Name: "bench", Version: "test"}); err != nil {
		b.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		b.Fatal(err)
	}
	a, err := agent.New(agent.Options{State: state, Config: agent.Config{DefaultUser: me.Username}, Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
		i, err := api.Call(b.Context(), c.API, api.GetInstance, api.InstanceRef{Instance: "bench"})
		if err == nil && i.Online {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("the agent is not online: %+v, %v", i, err)
		}
	}
}
