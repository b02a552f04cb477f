package identity

// HashCount says how many password hashes were computed.
func (s *Service) HashCount() int64 { return s.hasher.count.Load() }

// FillHasher takes all places to hash at, and in the queue.
func (s *Service) FillHasher() (release func()) {
	s.hasher.queued.Add(maxHashing + maxWaiting)
	return func() { s.hasher.queued.Add(-maxHashing - maxWaiting) }
}

// For tests of the pure parts.
var (
	CheckNewPassword = checkNewPassword
	NormalEmail      = normalEmail
	NameFromHost     = nameFromHost
	FreeName         = freeName
	CheckLabels      = checkLabels
	Clip             = clip
	InstallLine      = installLine
	EnrolLine        = enrolLine
	Quote            = quote
	ParseHash        = parseHash
)
