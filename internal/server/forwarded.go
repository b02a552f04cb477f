package server

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sessctl/sess/internal/sess"
)

// ProxyHeader is the header in which trusted proxies say for whom they call. It is one, and it is configured: a proxy writes
// one of them and passes on what a client wrote into the other.
type ProxyHeader string

// The headers of proxies.
const (
	ProxyXForwardedFor ProxyHeader = "x-forwarded-for" // nginx, HAProxy, Envoy, the load balancers of the clouds
	ProxyForwarded     ProxyHeader = "forwarded"       // RFC 7239
)

// maxHops bounds how many proxies in a row are believed.
const maxHops = 16

// client works out the address of the client: the connection's, or what trusted proxies say it is. Each of them appends whom
// it was called by, so the header is read from its end, for as long as the one who wrote is trusted. The first address
// that is not is the client's, and what stands to the left of it is the client's own word, which counts for nothing. Where a
// trusted proxy wrote no address, its own is all that is known.
func (s *Server) client(r *http.Request) netip.Addr {
	addr := addrOf(r.RemoteAddr)
	if !s.cfg.TrustedProxies.Contains(addr) {
		return addr
	}
	name, parse := "X-Forwarded-For", parseHop
	if s.cfg.ProxyHeader == ProxyForwarded {
		name, parse = "Forwarded", parseElement
	}
	return walk(r.Header.Values(name), addr, s.cfg.TrustedProxies, parse)
}

// walk follows the hops in the values of a header from their end.
func walk(values []string, addr netip.Addr, trusted sess.Addresses, parse func(string) (netip.Addr, bool)) netip.Addr {
	hops := 0
	for i := len(values) - 1; i >= 0; i-- {
		rest, more := values[i], true
		for more {
			if hops++; hops > maxHops || !trusted.Contains(addr) {
				return addr
			}
			var last string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, last = rest[:comma], rest[comma+1:]
			} else {
				last, more = rest, false
			}
			a, ok := parse(strings.Trim(last, " \t"))
			if !ok {
				return addr
			}
			addr = a
		}
	}
	return addr
}

// parseHop reads one address of X-Forwarded-For: 192.0.2.7, 2001:db8::1, either in brackets if it is IPv6, and with a port
// behind it as some proxies write.
func parseHop(s string) (netip.Addr, bool) {
	if rest, ok := strings.CutPrefix(s, "["); ok {
		host, port, ok := strings.Cut(rest, "]")
		if !ok || port != "" && !isPort(strings.TrimPrefix(port, ":"), port[0] == ':') {
			return netip.Addr{}, false
		}
		a, ok := plainAddr(host)
		return a, ok && strings.Contains(host, ":")
	}
	if host, port, ok := strings.Cut(s, ":"); ok && !strings.Contains(port, ":") {
		if !isPort(port, true) {
			return netip.Addr{}, false
		}
		return plainAddr(host)
	}
	return plainAddr(s)
}

func isPort(s string, behindColon bool) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && behindColon && n > 0 && s[0] != '+'
}

// plainAddr reads an address that a client can have: no zone, not 0.0.0.0. IPv4 in IPv6 is IPv4.
func plainAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	a = a.Unmap()
	return a, !a.IsUnspecified()
}

// parseElement reads one element of Forwarded: pairs NAME=VALUE with semicolons between, "for" once among them. The header was
// split at commas before: an element with one in a quoted value comes here in pieces, of which none is well-formed.
func parseElement(s string) (netip.Addr, bool) {
	var hop string
	seen := false
	for pair := range strings.SplitSeq(s, ";") {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || !isToken(name) {
			return netip.Addr{}, false
		}
		if value, ok = unquote(value); !ok {
			return netip.Addr{}, false
		}
		if strings.EqualFold(name, "for") {
			if seen {
				return netip.Addr{}, false
			}
			hop, seen = value, true
		}
	}
	if !seen || strings.Count(hop, ":") > 1 && hop[0] != '[' { // IPv6 stands in brackets there
		return netip.Addr{}, false
	}
	return parseHop(hop) // "unknown" and "_hidden" are no addresses
}

// unquote reads a token, or a quoted string without escapes and semicolons.
func unquote(s string) (string, bool) {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
		return s, !strings.ContainsFunc(s, func(r rune) bool { return r == '"' || r == '\\' || r < ' ' || r > '~' })
	}
	return s, isToken(s)
}

// isToken reports whether s is a token of RFC 9110.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}
