// Package recording writes, reads and verifies the recordings of sessions, and exports them.
//
// A recording is the frames of a session as they passed the relay, with times: nothing is decoded, nothing is lost. The
// relay appends a frame to the session's Journal and only then forwards it, so whatever a user saw is on record even if
// every process dies at once. How it lies on disk and how it travels is in FORMAT.md beside this file.
//
//	relay                 journal (ring of files, reused in place)      segments (zstd, digested, hash-chained)
//	Append ── write(2) ─▶ ring-0 … ring-3 ── compressor, behind ─────▶ 000000.zst …, chain.jsonl
//
// A Dir holds the recordings of one sess-server. A Reader reads one of them, also while it is being written; WriteTo
// sends it as a stream and a StreamReader takes it in at the other end, checking every digest on the way. Both give
// Records, from which ExportCast, ExportText, Player and Screen work.
package recording
