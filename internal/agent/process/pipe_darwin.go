package process

import "os"

// enlarge does nothing: the kernel grows pipes by itself.
func enlarge(*os.File) { _ = pipeSize }
