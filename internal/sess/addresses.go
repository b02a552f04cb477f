package sess

import (
	"fmt"
	"net/netip"
	"strings"
)

// MaxAddresses bounds how many networks an Addresses has.
const MaxAddresses = 64

// Addresses are the networks that something is accepted from; none: from anywhere. IPv4 is never written as IPv6 in it.
type Addresses []netip.Prefix

// ParseAddresses reads addresses and networks (192.0.2.7, 10.0.0.0/8, 2001:db8::/32). What comes twice is kept once. Its
// errors are *Error of code invalid.
func ParseAddresses(texts []string) (Addresses, error) {
	if len(texts) > MaxAddresses {
		return nil, New(CodeInvalid, fmt.Sprintf("more than %d addresses and networks", MaxAddresses), "name larger networks")
	}
	var out Addresses
	for _, text := range texts {
		p, err := parseNetwork(text)
		if err != nil {
			return nil, err
		}
		if !out.has(p) {
			out = append(out, p)
		}
	}
	return out, nil
}

// parseNetwork reads one address or network. A network whose address has bits beyond its length is refused: it is more
// likely a mistake than meant.
func parseNetwork(text string) (netip.Prefix, error) {
	bad := func(hint string) (netip.Prefix, error) {
		return netip.Prefix{}, New(CodeInvalid, fmt.Sprintf("%.64q is no address or network", text), hint)
	}
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return bad("write 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32")
	}
	if p.Masked() != p {
		return bad("did you mean " + p.Masked().String() + "?")
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return bad("write it as an IPv4 network")
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p, nil
}

func (a Addresses) has(p netip.Prefix) bool {
	for _, q := range a {
		if p == q {
			return true
		}
	}
	return false
}

// Contains reports whether addr is in one of the networks.
func (a Addresses) Contains(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range a {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Strings gives each network as text; an address alone without its length.
func (a Addresses) Strings() []string {
	var out []string
	for _, p := range a {
		if p.IsSingleIP() {
			out = append(out, p.Addr().String())
			continue
		}
		out = append(out, p.String())
	}
	return out
}

// Text gives a in the form in which it is kept.
func (a Addresses) Text() string { return strings.Join(a.Strings(), " ") }

// AddressAccepted reports whether something that Text says the addresses of is accepted from addr. What can't be read
// accepts nobody.
func AddressAccepted(text string, addr netip.Addr) bool {
	if text == "" {
		return true
	}
	a, err := ParseAddresses(strings.Fields(text))
	return err == nil && a.Contains(addr)
}
