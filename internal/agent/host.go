package agent

import (
	"net"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sessctl/sess/internal/wire"
)

// maxAddrs bounds the addresses a hello lists.
const maxAddrs = 16

// describeHost tells the server what machine this is.
func (a *Agent) describeHost() wire.Host {
	h := wire.Host{
		OS: runtime.GOOS, Arch: runtime.GOARCH, RunsAs: a.self.Name, Holds: a.sup.Holds(), Unenforced: strings.Join(a.sup.Unenforced(), ", "), Programs: "on",
	}
	if a.noPrograms != nil {
		h.Programs = a.noPrograms.Code
	}
	h.Hostname, _ = os.Hostname()
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return h
	}
	for _, a := range addrs {
		ip, ok := a.(*net.IPNet)
		if ok && ip.IP.IsGlobalUnicast() && len(h.Addrs) < maxAddrs {
			h.Addrs = append(h.Addrs, ip.IP.String())
		}
	}
	return h
}

// measureLoad gives the machine's load; what can't be read stays 0.
func measureLoad() *wire.Load {
	l := &wire.Load{}
	systemLoad(l)
	var fs unix.Statfs_t
	if unix.Statfs("/", &fs) == nil {
		l.DiskTotal = fs.Blocks * uint64(fs.Bsize) //nolint:gosec,unconvert // signed on Linux only
		l.DiskFree = fs.Bavail * uint64(fs.Bsize)  //nolint:gosec,unconvert // signed on Linux only
	}
	return l
}
