package agent

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sessctl/sess/internal/wire"
)

func systemLoad(l *wire.Load) {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		l.Load1 = float64(info.Loads[0]) / 65536
		l.UptimeSecs = uint64(info.Uptime) //nolint:gosec // not negative
	}
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kb, err := strconv.ParseUint(f[1], 10, 54)
		if err != nil {
			continue
		}
		switch f[0] {
		case "MemTotal:":
			l.MemTotal = kb << 10
		case "MemAvailable:":
			l.MemFree = kb << 10
			return
		}
	}
}
