package recording

import "encoding/binary"

// What nothing compresses (archives, pictures, what is encrypted) costs the compressor a second of CPU per GiB and gains
// nothing. So it looks at samples first, and keeps such a segment as a zstd frame of raw blocks (RFC 8878, 3.1.1).
const (
	sampleBytes = 8 << 10
	samples     = 4
	rawBlock    = 128 << 10 // the most a block holds
)

// store appends to dst a zstd frame that holds raw.
func (d *Dir) store(dst, raw []byte) []byte {
	if d.compressible(raw) {
		return d.zstd.EncodeAll(raw, dst)
	}
	return appendRawFrame(dst, raw)
}

// compressible reports whether one of a few samples, spread over raw, gets smaller by a twentieth at least. A small
// segment is always worth a try.
func (d *Dir) compressible(raw []byte) bool {
	if len(raw) < 2*samples*sampleBytes {
		return true
	}
	var out [sampleBytes + sampleBytes/8]byte
	for i := range samples {
		at := i * (len(raw) - sampleBytes) / (samples - 1)
		if len(d.zstd.EncodeAll(raw[at:at+sampleBytes], out[:0])) < sampleBytes-sampleBytes/20 {
			return true
		}
	}
	return false
}

// appendRawFrame appends a zstd frame that holds raw, of at most 4 GiB, as it is.
func appendRawFrame(dst, raw []byte) []byte {
	dst = append(dst, 0x28, 0xb5, 0x2f, 0xfd, // magic
		0xa0) // one segment; the content's size in four bytes; no checksum: the chain has a digest
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(raw))) //nolint:gosec // at most MaxSegmentBytes
	for {
		n := min(len(raw), rawBlock)
		head := uint32(n) << 3 //nolint:gosec // at most rawBlock; type 0: raw
		if n == len(raw) {
			head |= 1 // the last one
		}
		dst = append(dst, byte(head), byte(head>>8), byte(head>>16)) //nolint:gosec // three bytes, little-endian
		dst = append(dst, raw[:n]...)
		if raw = raw[n:]; len(raw) == 0 {
			return dst
		}
	}
}
