package server

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// patience bounds how long a test waits for what must happen.
const patience = 10 * time.Second

// startListener listens on loopback; what is accepted arrives on the channel.
func startListener(t *testing.T, slots *strangers, timeout time.Duration) (*listener, chan net.Conn) {
	t.Helper()
	cfg, err := Config{TLS: TLSSelfSigned}.tlsConfig(dataDir{path: t.TempDir()}, []string{"localhost"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newListener(inner, cfg, slots, nil, timeout)
	got := make(chan net.Conn, 16)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			got <- c
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l, got
}

func dialTLS(t *testing.T, l net.Listener, minVersion, maxVersion uint16) (*tls.Conn, error) {
	t.Helper()
	c, err := net.DialTimeout("tcp", l.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: minVersion, MaxVersion: maxVersion})
	return tc, tc.Handshake()
}

// closedByPeer fails the test unless the server closes c in time.
func closedByPeer(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the server left the connection open")
	}
}

func TestOnlyTLS13(t *testing.T) {
	l, _ := startListener(t, newStrangers(10, 10), patience)
	if _, err := dialTLS(t, l, tls.VersionTLS12, tls.VersionTLS12); err == nil {
		t.Error("TLS 1.2 was accepted")
	}
	if _, err := dialTLS(t, l, tls.VersionTLS13, tls.VersionTLS13); err != nil {
		t.Errorf("TLS 1.3: %v", err)
	}
}

func TestPlainHTTPIsToldSo(t *testing.T) {
	l, _ := startListener(t, newStrangers(10, 10), patience)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(c)
	if !strings.Contains(string(b), "https://") {
		t.Errorf("answer %q", b)
	}
}

// TestSlowHandshakesBlockNobody is the slow-loris test: connections that send nothing are closed after a time, and do
// not keep others from being served.
func TestSlowHandshakesBlockNobody(t *testing.T) {
	l, got := startListener(t, newStrangers(100, 100), time.Second)
	var slow []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		slow = append(slow, c)
	}
	start := time.Now()
	if _, err := dialTLS(t, l, 0, 0); err != nil {
		t.Fatal(err)
	}
	<-got
	if took := time.Since(start); took > 900*time.Millisecond {
		t.Errorf("a good handshake took %v beside slow ones", took)
	}
	for _, c := range slow {
		closedByPeer(t, c)
	}
}

func TestStrangersOfOneAddressAreLimited(t *testing.T) {
	slots := newStrangers(100, 2)
	l, got := startListener(t, slots, patience)
	var first net.Conn
	for range 2 {
		if _, err := dialTLS(t, l, 0, 0); err != nil {
			t.Fatal(err)
		}
		first = <-got
	}
	if _, err := dialTLS(t, l, 0, 0); err == nil {
		t.Fatal("a third stranger of the same address was let in")
	}
	slots.known(first.RemoteAddr().String())
	if _, err := dialTLS(t, l, 0, 0); err != nil {
		t.Errorf("after one became known: %v", err)
	}
	second := <-got
	if _, err := dialTLS(t, l, 0, 0); err == nil {
		t.Fatal("one too many was let in")
	}
	second.Close()
	if _, err := dialTLS(t, l, 0, 0); err != nil {
		t.Errorf("after one closed: %v", err)
	}
	(<-got).Close()
	first.Close() // known and closed: must not be counted off twice
	slots.mu.Lock()
	defer slots.mu.Unlock()
	if slots.total != 1 || slots.byAddr[netip.MustParseAddr("127.0.0.1")] != 1 {
		t.Errorf("count is %d, %v", slots.total, slots.byAddr)
	}
}

func TestStrangersInAllAreLimited(t *testing.T) {
	l, got := startListener(t, newStrangers(1, 100), patience)
	if _, err := dialTLS(t, l, 0, 0); err != nil {
		t.Fatal(err)
	}
	<-got
	if _, err := dialTLS(t, l, 0, 0); err == nil {
		t.Error("one above the limit was let in")
	}
}

func TestCloseDoesNotWaitForSlowHandshakes(t *testing.T) {
	l, _ := startListener(t, newStrangers(10, 10), time.Hour)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for end := time.Now().Add(patience); ; {
		l.slots.mu.Lock()
		n := l.slots.total
		l.slots.mu.Unlock()
		if n == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("never accepted")
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	closedByPeer(t, c)
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7:1":              "192.0.2.7",
		"[::ffff:192.0.2.7]:1":     "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::",
		"[fe80::1%eth0]:1":         "fe80::",
	} {
		if got := network(addrOf(in)); got != netip.MustParseAddr(want) {
			t.Errorf("%s counts for %s, want %s", in, got, want)
		}
	}
}
