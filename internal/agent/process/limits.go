package process

// Limits are what the processes of one session may take together; 0: no limit.
type Limits struct {
	Processes int   // threads count too
	Memory    int64 // bytes
}

// Names of limits, as in the owner's file.
const (
	LimitProcesses = "max_processes"
	LimitMemory    = "max_memory"
)

// Spent is what the processes of a session took; 0: not known.
type Spent struct {
	CPUMicros int64
	MemPeak   int64 // bytes
}
