package outbound

import (
	"net"
	"testing"
	"time"
)

// TestAReceiverThatTalksIsLeft: a receiver of syslog says nothing. One that sends without an end must not have the server
// read it for as long as the log is streamed to it.
func TestAReceiverThatTalksIsLeft(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 64<<10)
		for err == nil {
			_, err = c.Write(b)
		}
	}()
	s, err := NewSyslog(SyslogConfig{URL: "tcp://" + l.Addr().String(), Guard: Guard{AllowPrivate: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_ = s.Send(t.Context(), []SyslogMessage{{Time: time.Now(), ID: "test"}})
	_ = s.Send(t.Context(), []SyslogMessage{{Time: time.Now(), ID: "test"}})
	select {
	case <-cut:
	case <-time.After(5 * time.Second):
		t.Fatal("it is read on and on")
	}
}
