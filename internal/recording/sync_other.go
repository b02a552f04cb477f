//go:build !linux

package recording

import "os"

// datasync brings f's data to the disk.
func datasync(f *os.File) error { return f.Sync() }
