package outbound

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// dialTimeout bounds how long a connection may take to be there.
const dialTimeout = 5 * time.Second

// ErrPrivate says that an address is not on the internet, ErrLinkLocal that it is one at which clouds tell machines their
// secrets.
var (
	ErrPrivate   = errors.New("its address is of this machine or a private network, which only the server's owner can allow")
	ErrLinkLocal = errors.New("its address is one of the machine's own surroundings (link-local), which nobody can allow")
)

// Guard says which addresses may be connected to. The zero value lets nothing through but the internet.
type Guard struct {
	// AllowPrivate lets through what is on this machine and on private networks, too; link-local addresses never.
	AllowPrivate bool
}

// Dialer gives a dialer that connects to no other address, whatever name led there.
func (g Guard) Dialer() *net.Dialer {
	return &net.Dialer{Timeout: dialTimeout, Control: func(_, address string, _ syscall.RawConn) error { return g.Check(address) }}
}

// Check refuses an IP address with port where nobody may be called. Names are refused, too: what they lead to may change.
func (g Guard) Check(address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read address: %w", err)
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.IsLinkLocalUnicast() || contains(metadata(), a) {
		return ErrLinkLocal
	}
	if g.AllowPrivate {
		return nil
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || contains(special(), a) {
		return ErrPrivate
	}
	return nil
}

func contains(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// metadata are addresses of clouds' own services that are not link-local by their number.
func metadata() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("100.100.100.200/32"),       // Alibaba Cloud
		netip.MustParsePrefix("192.0.0.192/32"),           // Oracle Cloud
		netip.MustParsePrefix("fd00:ec2::/32"),            // AWS
		netip.MustParsePrefix("64:ff9b::a9fe:0/112"),      // 169.254.0.0/16 by NAT64
		netip.MustParsePrefix("2002:a9fe::/32"),           // the same by 6to4
		netip.MustParsePrefix("fd20:ce::254/128"),         // Google Cloud
		netip.MustParsePrefix("::ffff:0:169.254.0.0/112"), // translated (SIIT)
	}
}

// special are networks that are nobody's on the internet, beside those that netip knows.
func special() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
		netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
		netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2001::/32"), // carry IPv4 addresses
		netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"), netip.MustParsePrefix("::ffff:0:0:0/96"), netip.MustParsePrefix("::/96"),
	}
}
