package server

import "net"

// notify tells systemd how the service is (sd_notify); without systemd it does nothing. That it fails changes nothing
// for the server: systemd's own timeout tells the admin.
func notify(env func(string) (string, bool), state string) {
	path, ok := env("NOTIFY_SOCKET")
	if !ok || path == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(state))
}
