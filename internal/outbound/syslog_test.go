package outbound_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/outbound"
)

func logSocket(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What the receiver of a socket has not read when it goes away is not delivered: nothing but its absence tells.
func TestSocketIsDeliveredWhenItWasRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	s, err := outbound.NewSyslog(outbound.SyslogConfig{URL: "unix://" + path, Local: true, Host: "sess.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	send := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		return s.Send(ctx, []outbound.SyslogMessage{{Time: time.Now(), Severity: outbound.SeverityInfo, ID: "x", Text: []byte(`{"a":1}`), Data: []outbound.SyslogParam{{Name: "log", Value: `o"]`}}}})
	}
	if f, ok := errors.AsType[*outbound.Failure](send()); !ok || f.Reason != "there is no such socket" {
		t.Errorf("without a socket: %v", f)
	}

	deaf := logSocket(t, path)
	done := make(chan error, 1)
	go func() { done <- send() }()
	select {
	case err := <-done:
		t.Errorf("delivered to somebody who reads nothing: %v", err)
	case <-time.After(time.Second):
	}
	_ = deaf.Close() // and what it had with it; the kernel lets the sender have its memory back as if it had been read
	if err := <-done; err == nil {
		t.Error("delivered to somebody who is gone")
	}

	deaf = logSocket(t, path+"2") // gone, and another in its place at once
	if s, err = outbound.NewSyslog(outbound.SyslogConfig{URL: "unix://" + path + "2", Local: true, Host: "sess.example"}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	go func() { done <- send() }()
	<-time.After(200 * time.Millisecond)
	if err := errors.Join(deaf.Close(), os.Remove(path+"2")); err != nil {
		t.Fatal(err)
	}
	next := logSocket(t, path+"2")
	defer next.Close()
	if err := <-done; err == nil {
		t.Error("delivered to somebody in whose place is another")
	}
	go func() { done <- send() }()
	b := make([]byte, 1<<10)
	n, err := next.Read(b)
	if want := regexp.MustCompile(`^<110>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d sess-server: \[sess@32473 log="o\\"\\]"\] \{"a":1\}$`); err != nil || !want.Match(b[:n]) {
		t.Errorf("%q, %v", b[:n], err)
	}
	if err := <-done; err != nil {
		t.Errorf("who has read it: %v", err)
	}
}
