package wire

import (
	"encoding/binary"
	"fmt"
)

// StreamID names a stream within one direction.
type StreamID struct {
	Channel     uint32
	Participant uint16
}

// StreamCredit is one entry of a Credit frame: the receiver has consumed everything below Consumed, and the sender may
// send everything below Limit. Both are absolute offsets, so that a credit may be lost, repeated or late.
type StreamCredit struct {
	StreamID
	Consumed uint64
	Limit    uint64
}

// AskFrame opens a round. Everyone stops sending all but hello, beats and credit until the Go of this round.
type AskFrame struct {
	Epoch    uint64 // counts the agent's joins; the highest one is the present one
	Round    uint32 // counts joins of either side within an epoch
	PeerHere bool   // the other side is connected too
}

// RecvState is where a receiver stands in one stream: Consumed ≤ Recv ≤ Limit.
type RecvState struct {
	StreamID
	Recv, Consumed, Limit uint64
}

// SendState is what a sender still holds of one stream: [Base, Have).
type SendState struct {
	StreamID
	Base, Have uint64
}

// HelloFrame says where one end stands. Round 0 is the first hello on the first connection an end ever makes for a
// session: all its offsets are 0, and it may send FirstRoundLimit bytes of each stream behind it without waiting.
type HelloFrame struct {
	Epoch, Round uint64
	Version      uint16
	// Fresh is set by a client that takes a running session over and knows no offsets: its lists name the streams
	// only, and Go tells it where they begin.
	Fresh      bool
	Done       bool   // agent: a client has said done
	Boot       string // agent: its boot id, at most 64 bytes
	Cols, Rows uint16 // client: its terminal's size, 0 without one
	Recv       []RecvState
	Send       []SendState
	Exit       []byte // agent, once the process ended: JSON sess.Exit
}

// SendGo tells a sender how to continue one stream: it may forget what lies below Free, sends again from From, and stops
// at Limit.
type SendGo struct {
	StreamID
	From, Free, Limit uint64
}

// RecvGo tells a receiver where a stream begins for it. Start above what it has means that bytes were not kept for it.
type RecvGo struct {
	StreamID
	Start uint64
}

// GoFrame lets one end continue.
type GoFrame struct {
	Epoch, Round uint64
	PeerHere     bool
	Send         []SendGo
	Recv         []RecvGo
}

// Encodings: every number is an unsigned LEB128 varint (encoding/binary's Uvarint), a list is its length and then its
// entries, bytes are their length and then themselves. Differences keep entries small: a hello of 1,024 streams in each
// direction fits one frame.

func appendID(b []byte, id StreamID) []byte {
	b = binary.AppendUvarint(b, uint64(id.Channel))
	return binary.AppendUvarint(b, uint64(id.Participant))
}

// AppendCredit appends the payload of a Credit frame to b.
func AppendCredit(b []byte, cs ...StreamCredit) []byte {
	b = binary.AppendUvarint(b, uint64(len(cs)))
	for _, c := range cs {
		b = appendID(b, c.StreamID)
		b = binary.AppendUvarint(b, c.Consumed)
		b = binary.AppendUvarint(b, c.Limit-c.Consumed)
	}
	return b
}

// DecodeCredit reads a Credit frame's payload and appends its entries to into, which may be nil.
func DecodeCredit(p []byte, into []StreamCredit) ([]StreamCredit, error) {
	r := reader{b: p}
	for range r.count() {
		c := StreamCredit{StreamID: r.id()}
		c.Consumed = r.offset()
		c.Limit = c.Consumed + r.offset()
		into = append(into, c)
	}
	return into, r.end("credit")
}

// AppendAsk appends the payload of an Ask frame to b.
func AppendAsk(b []byte, a AskFrame) []byte {
	b = binary.AppendUvarint(b, a.Epoch)
	b = binary.AppendUvarint(b, uint64(a.Round))
	return append(b, flag(a.PeerHere))
}

// DecodeAsk reads an Ask frame's payload.
func DecodeAsk(p []byte) (AskFrame, error) {
	r := reader{b: p}
	a := AskFrame{Epoch: r.offset(), Round: uint32(r.max(1<<32 - 1)), PeerHere: r.byte()&1 != 0} //nolint:gosec // bounded
	return a, r.end("ask")
}

const (
	helloFresh = 1 << iota
	helloDone
)

// AppendHello appends the payload of a Hello frame to b.
func AppendHello(b []byte, h HelloFrame) []byte {
	b = binary.AppendUvarint(b, uint64(h.Version))
	b = binary.AppendUvarint(b, h.Epoch)
	b = binary.AppendUvarint(b, h.Round)
	b = append(b, flag(h.Fresh)*helloFresh|flag(h.Done)*helloDone)
	b = appendBytes(b, []byte(h.Boot))
	b = binary.AppendUvarint(b, uint64(h.Cols))
	b = binary.AppendUvarint(b, uint64(h.Rows))
	b = binary.AppendUvarint(b, uint64(len(h.Recv)))
	for _, s := range h.Recv {
		b = appendID(b, s.StreamID)
		b = binary.AppendUvarint(b, s.Recv)
		b = binary.AppendUvarint(b, s.Recv-s.Consumed)
		b = binary.AppendUvarint(b, s.Limit-s.Consumed)
	}
	b = binary.AppendUvarint(b, uint64(len(h.Send)))
	for _, s := range h.Send {
		b = appendID(b, s.StreamID)
		b = binary.AppendUvarint(b, s.Base)
		b = binary.AppendUvarint(b, s.Have-s.Base)
	}
	return appendBytes(b, h.Exit)
}

// DecodeHello reads a Hello frame's payload.
func DecodeHello(p []byte) (HelloFrame, error) {
	r := reader{b: p}
	h := HelloFrame{Version: uint16(r.max(1<<16 - 1)), Epoch: r.offset(), Round: r.offset()} //nolint:gosec // bounded
	f := r.byte()
	h.Fresh, h.Done = f&helloFresh != 0, f&helloDone != 0
	h.Boot = string(r.bytes(64))
	h.Cols, h.Rows = uint16(r.max(1<<16-1)), uint16(r.max(1<<16-1)) //nolint:gosec // bounded
	for range r.count() {
		s := RecvState{StreamID: r.id()}
		s.Recv = r.offset()
		s.Consumed = s.Recv - r.max(s.Recv)
		s.Limit = s.Consumed + r.offset()
		h.Recv = append(h.Recv, s)
	}
	for range r.count() {
		s := SendState{StreamID: r.id()}
		s.Base = r.offset()
		s.Have = s.Base + r.offset()
		h.Send = append(h.Send, s)
	}
	h.Exit = r.bytes(MaxExit)
	return h, r.end("hello")
}

// MaxExit bounds the JSON of an exit in hello and exit frames, in bytes.
const MaxExit = 4096

// AppendGo appends the payload of a Go frame to b.
func AppendGo(b []byte, g GoFrame) []byte {
	b = binary.AppendUvarint(b, g.Epoch)
	b = binary.AppendUvarint(b, g.Round)
	b = append(b, flag(g.PeerHere))
	b = binary.AppendUvarint(b, uint64(len(g.Send)))
	for _, s := range g.Send {
		b = appendID(b, s.StreamID)
		b = binary.AppendUvarint(b, s.Free)
		b = binary.AppendUvarint(b, s.From)
		b = binary.AppendUvarint(b, s.Limit)
	}
	b = binary.AppendUvarint(b, uint64(len(g.Recv)))
	for _, s := range g.Recv {
		b = appendID(b, s.StreamID)
		b = binary.AppendUvarint(b, s.Start)
	}
	return b
}

// DecodeGo reads a Go frame's payload.
func DecodeGo(p []byte) (GoFrame, error) {
	r := reader{b: p}
	g := GoFrame{Epoch: r.offset(), Round: r.offset(), PeerHere: r.byte()&1 != 0}
	for range r.count() {
		g.Send = append(g.Send, SendGo{StreamID: r.id(), Free: r.offset(), From: r.offset(), Limit: r.offset()})
	}
	for range r.count() {
		g.Recv = append(g.Recv, RecvGo{StreamID: r.id(), Start: r.offset()})
	}
	return g, r.end("go")
}

// AppendSize appends the payload of a Size frame to b.
func AppendSize(b []byte, cols, rows uint16) []byte {
	b = binary.AppendUvarint(b, uint64(cols))
	return binary.AppendUvarint(b, uint64(rows))
}

// DecodeSize reads a Size frame's payload.
func DecodeSize(p []byte) (cols, rows uint16, err error) {
	r := reader{b: p}
	cols, rows = uint16(r.max(1<<16-1)), uint16(r.max(1<<16-1)) //nolint:gosec // bounded
	return cols, rows, r.end("size")
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// reader takes values off b; the first mistake sticks and everything after it reads as zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) max(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > limit {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) offset() uint64 { return r.max(MaxOffset) }

func (r *reader) count() int { return int(r.max(MaxStreams)) } //nolint:gosec // bounded

func (r *reader) id() StreamID {
	return StreamID{Channel: uint32(r.max(1<<32 - 1)), Participant: uint16(r.max(1<<16 - 1))} //nolint:gosec // bounded
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) bytes(limit int) []byte {
	n := int(r.max(uint64(limit))) //nolint:gosec // bounded
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	if n == 0 {
		return nil
	}
	return v
}

func (r *reader) end(what string) error {
	if r.bad || len(r.b) != 0 {
		return fmt.Errorf("%w in %s", ErrPayload, what)
	}
	return nil
}
