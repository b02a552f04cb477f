package agent

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// waitNetwork waits for d or until an address or route of this machine changes, but at least for settle: a network that
// has come back is worth an attempt at once.
func waitNetwork(ctx context.Context, d, settle time.Duration) {
	if d <= settle {
		pause(ctx, d)
		return
	}
	start := time.Now()
	pause(ctx, settle)
	f := routeSocket()
	if f == nil {
		pause(ctx, d-settle)
		return
	}
	defer f.Close()
	_ = f.SetReadDeadline(start.Add(d))
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(start) })
	defer stop()
	_, _ = f.Read(make([]byte, 4096))
}

// routeSocket gives a socket that becomes readable when the network changes; nil when there can't be one.
func routeSocket() *os.File {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil
	}
	groups := uint32(unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = unix.Close(fd)
		return nil
	}
	return os.NewFile(uintptr(fd), "netlink")
}
