package store

import "time"

// Micros gives t as the database keeps times: microseconds since 1970 (UTC).
func Micros(t time.Time) int64 { return t.UnixMicro() }

// Time is the inverse of Micros, in UTC.
func Time(us int64) time.Time { return time.UnixMicro(us).UTC() }

// MicrosPtr is Micros for a column that may be null: the zero time is null.
func MicrosPtr(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	us := Micros(t)
	return &us
}

// TimePtr is Time for a column that may be null: null is the zero time.
func TimePtr(us *int64) time.Time {
	if us == nil {
		return time.Time{}
	}
	return Time(*us)
}
