package identity

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
)

// installLine gives the line that installs an agent on a fresh machine. With a certificate of the server's own, curl is
// told its key and nothing else: -k alone would trust anybody, and --pinnedpubkey alone would still ask the system's
// roots; together the pinned key, and only that, is accepted.
func installLine(base *url.URL, pin []byte, token string) string {
	curl, server := "curl -fsSL ", base.String()
	if len(pin) > 0 {
		curl += "-k --pinnedpubkey " + quote("sha256//"+base64.StdEncoding.EncodeToString(pin)) + " "
		server += "#pin=sha256:" + hex.EncodeToString(pin)
	}
	return curl + quote(base.JoinPath("install.sh").String()) + " | sudo sh -s -- --server " + quote(server) + " --token " + quote(token)
}

// enrolLine gives the line that makes a machine with sess-agent on it an instance. The token carries the pin.
func enrolLine(base *url.URL, token string) string {
	return "sess-agent enroll --server " + quote(base.String()) + " --token " + quote(token) + " && sess-agent run"
}

// quote makes s one word for a POSIX shell.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=+,@%", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
