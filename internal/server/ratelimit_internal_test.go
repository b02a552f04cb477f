package server

import (
	"net/netip"
	"testing"
	"time"
)

func TestRateLimiter(t *testing.T) {
	now := time.Unix(1000, 0)
	r := newRateLimiter(3, 1)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range 3 {
		if _, ok := r.allow(a, now); !ok {
			t.Fatalf("call %d of the burst was refused", i)
		}
	}
	wait, ok := r.allow(a, now)
	if ok || wait <= 0 || wait > time.Second {
		t.Errorf("a fourth call: %v, %v", wait, ok)
	}
	if _, ok := r.allow(b, now); !ok {
		t.Error("another address was refused")
	}
	if _, ok := r.allow(a, now.Add(wait)); !ok {
		t.Error("refused after the time it was told to wait")
	}
	if _, ok := r.allow(a, now.Add(wait)); ok {
		t.Error("got two for the time of one")
	}
	r.free = netip.Addr.IsLoopback
	for range 10 {
		if _, ok := r.allow(netip.MustParseAddr("127.0.0.1"), now); !ok {
			t.Fatal("this machine itself was refused")
		}
	}
	x, y := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	for range 3 {
		r.allow(x, now)
	}
	if _, ok := r.allow(y, now); ok {
		t.Error("another address of the same /64 has a bucket of its own")
	}
}

func TestRateLimiterRemembersABoundedNumber(t *testing.T) {
	r := newRateLimiter(2, 1)
	addr := netip.MustParseAddr("10.0.0.0")
	for range maxBuckets + 1000 {
		addr = addr.Next()
		r.allow(addr, time.Unix(0, 0))
	}
	if len(r.buckets) > maxBuckets {
		t.Errorf("%d addresses are remembered", len(r.buckets))
	}
}
