//go:build !linux

package outbound

import "net"

// unsent counts the bytes that the other machine has not taken yet; elsewhere nobody tells.
func unsent(net.Conn) (int, error) { return 0, nil }
