package sess

import (
	"fmt"
	"time"
)

// FormatSize says a number of bytes to people.
func FormatSize(n uint64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), ""
	for _, unit = range [...]string{"KiB", "MiB", "GiB", "TiB", "PiB"} {
		f /= 1024
		if f < 1023.95 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}

// FormatMicros says a time that something took to people: to the second, and to the millisecond below a minute.
func FormatMicros(n int64) string {
	d := time.Duration(n) * time.Microsecond
	if d >= time.Minute {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Millisecond).String()
}
