package policy

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// A rule for a range of addresses is found by the range: the client's address is cut to each length of prefix that the rules
// of the organisation have, and looked up as it is then.

// addressPlaces is of context.address.isInRange(ip("…")).
func addressPlaces(n ast.NodeTypeExtensionCall) []place {
	if n.Name != "isInRange" || len(n.Args) != 2 {
		return nil
	}
	a, ok := n.Args[0].(ast.NodeTypeAccess)
	if !ok || !isVariable(a.Arg, "context") || a.Value != "address" {
		return nil
	}
	r, ok := rangeOf(n.Args[1])
	if !ok {
		return nil
	}
	return []place{{dim{dimAddress, strconv.Itoa(r.Bits())}, r.Masked().String()}}
}

// rangeOf gives the range that n is, if it is written out.
func rangeOf(n ast.IsNode) (netip.Prefix, bool) {
	switch n := n.(type) {
	case ast.NodeValue:
		a, ok := n.Value.(types.IPAddr)
		return a.Prefix(), ok
	case ast.NodeTypeExtensionCall:
		if n.Name != "ip" || len(n.Args) != 1 {
			return netip.Prefix{}, false
		}
		text := textOf(n.Args[0])
		if text == nil {
			return netip.Prefix{}, false
		}
		a, err := types.ParseIPAddr(*text)
		return a.Prefix(), err == nil
	}
	return netip.Prefix{}, false
}

// networkOf gives the client's address cut to a length, as addressPlaces writes it; nil: it has none of that length.
func networkOf(cx types.Record, length string) types.Value {
	v, _ := cx.Get("address")
	a, ok := v.(types.IPAddr)
	bits, err := strconv.Atoi(length)
	if !ok || err != nil {
		return nil
	}
	p, err := a.Addr().Prefix(bits)
	if err != nil { // longer than an address of IPv4
		return nil
	}
	return types.String(p.String())
}

// eitherPlaces gives where one of two conditions can be true; none: anywhere.
func eitherPlaces(a, b []place) []place {
	if len(a) == 0 || len(b) == 0 || a[0].dim.kind != b[0].dim.kind {
		return nil
	}
	out := slices.Clone(a)
	for _, at := range b {
		if !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	return out
}
