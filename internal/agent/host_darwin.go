package agent

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessctl/sess/internal/wire"
)

func systemLoad(l *wire.Load) {
	if b, err := unix.SysctlRaw("vm.loadavg"); err == nil && len(b) >= 24 {
		if scale := binary.LittleEndian.Uint64(b[16:]); scale > 0 {
			l.Load1 = float64(binary.LittleEndian.Uint32(b)) / float64(scale)
		}
	}
	if v, err := unix.SysctlUint64("hw.memsize"); err == nil {
		l.MemTotal = v
	}
	if v, err := unix.SysctlUint32("vm.page_free_count"); err == nil {
		l.MemFree = uint64(v) * uint64(unix.Getpagesize()) //nolint:gosec // not negative
	}
	if tv, err := unix.SysctlTimeval("kern.boottime"); err == nil {
		l.UptimeSecs = uint64(max(0, time.Since(time.Unix(tv.Sec, 0)).Seconds()))
	}
}
