package agent

import (
	"bufio"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// giveBack returns memory that only the start, connecting or sessions needed: megabytes of the kernel's description of itself,
// say, and the code that read it. Pages of the program that are as on disk are dropped; those in use come back from the page
// cache, sixteen at a time.
func giveBack() {
	debug.FreeOSMemory()
	exe, err := os.Executable()
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	var from, to uint64
	ours := false
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) >= 5 && strings.Contains(fields[0], "-") {
			ours = len(fields) == 6 && fields[5] == exe && !strings.Contains(fields[1], "w")
			low, high, _ := strings.Cut(fields[0], "-")
			from, _ = strconv.ParseUint(low, 16, 64)
			to, _ = strconv.ParseUint(high, 16, 64)
			continue
		}
		if ours && len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0" && to > from { // nothing of it was ever changed
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(from), uintptr(to-from), unix.MADV_DONTNEED)
		}
	}
}
