// Package wire is the stream protocol of sess: the frames that client, relay and agent exchange on a session's
// WebSocket, and the JSON messages of an agent's control link. It is codec, limits and versions only; what the frames
// mean in which order is in PROTOCOL.md beside this file, and link and relay follow it.
//
// One WebSocket binary message is one frame: a header of 16 bytes, big-endian, then the payload.
//
//	 0      1      2             4                    8                                       16
//	┌──────┬──────┬─────────────┬────────────────────┬───────────────────────────────────────┬─────────
//	│ type │flags │ participant │ channel            │ offset                                │ payload …
//	│ u8   │ u8   │ u16         │ u32                │ u64                                   │
//	└──────┴──────┴─────────────┴────────────────────┴───────────────────────────────────────┴─────────
//
// A stream is (channel, participant, direction); the direction is given by who sends. Offsets of data count bytes,
// offsets of ctl count messages. Frames that belong to no stream carry zeros there.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Version is the version of the stream protocol this program speaks; the lowest of client, relay and agent is used.
//
//	1  2026-11-21  first
const Version = 1

// Subprotocols of the WebSockets.
const (
	Subprotocol        = "sess.v1"       // a session's stream
	ControlSubprotocol = "sess.agent.v1" // an agent's control link
)

// Sizes in bytes. MaxFrame is the default read limit of common WebSocket libraries.
const (
	HeaderSize = 16
	MaxFrame   = 32768
	MaxPayload = MaxFrame - HeaderSize
)

// Limits of the protocol.
const (
	MaxOffset       = 1 << 62  // offsets stay below it
	MaxCtlUnacked   = 256      // ctl messages sent and not yet credited
	MaxWindow       = 16 << 20 // all windows of one side of a session together, in bytes
	MaxStreams      = 1024     // streams a hello may list for one direction
	FirstRoundLimit = 64 << 10 // bytes a side may send behind its first hello, before any credit
)

// Type is the type of a frame.
type Type uint8

// The frame types. A receiver refuses an unknown type below 0x80 and skips one from 0x80 on.
const (
	Data          Type = 0x01 // bytes of a stream; FlagFIN ends it and takes one offset of its own; ends, forwarded unchanged
	Ctl           Type = 0x02 // one control message of channel 0: CtlMessage; ends, forwarded unchanged
	Credit        Type = 0x03 // what has been consumed and may be sent, absolute: []StreamCredit; receiver → relay → sender
	Ask           Type = 0x04 // a new round begins: AskFrame; relay → both
	Hello         Type = 0x05 // where this end stands: HelloFrame; ends → relay
	Go            Type = 0x06 // continue from here: GoFrame; relay → ends
	ExitStatement Type = 0x07 // the agent says how the process ended, until answered: JSON sess.Exit; agent → relay
	ExitOK        Type = 0x08 // the status is on record, no payload; relay → agent
	Done          Type = 0x09 // the client has everything and the status, no payload; client → relay → agent
	Away          Type = 0x0a // relay → ends: the other side's connection is gone; client → relay: I detach on purpose; no payload
	Moved         Type = 0x0b // the session lives elsewhere: ask the API, no payload; relay → ends
	End           Type = 0x0c // the session is over: JSON EndFrame; relay → ends
	Notice        Type = 0x0d // a line for people: UTF-8 text, at most MaxNotice bytes; relay → client
	Error         Type = 0x0e // this connection is closed because …: JSON ErrorFrame; anyone → the one that did it
	Beat          Type = 0x0f // life, no payload; anyone
	Screen        Type = 0x10 // bytes that draw the terminal as it stands, ahead of what skips what led to it; relay → client
	Size          Type = 0x11 // the size of the owner's terminal: two varints; relay → a participant who is not the owner
)

// WindowGuest is the window of the input of a participant who is not the owner: people type there, or paste.
const WindowGuest = 32 << 10

// MaxNotice bounds the text of a Notice, in bytes.
const MaxNotice = 1024

// FlagFIN marks the last frame of a stream. The FIN itself takes the offset behind the last byte.
const FlagFIN uint8 = 1

// Channels with a fixed meaning. Channel 0 carries ctl; shell and exec use the others.
const (
	ChannelCtl    uint32 = 0
	ChannelMain   uint32 = 1 // client → agent: input; agent → client: output
	ChannelStderr uint32 = 2 // agent → client: standard error where it is apart
	ChannelParams uint32 = 3 // client → agent: the session's parameters (sess.EncodeParams), then FIN
	// ChannelPrograms is agent → record: sess.ProgramLines. Only where the offer asked for it.
	ChannelPrograms uint32 = 4
	// ChannelEchoed is agent → record: sess.EchoedLines. Only where the offer asked for it.
	ChannelEchoed uint32 = 5
)

// Header is the head of a frame.
type Header struct {
	Type        Type
	Flags       uint8
	Participant uint16
	Channel     uint32
	Offset      uint64
}

// FIN reports whether the frame ends its stream.
func (h Header) FIN() bool { return h.Flags&FlagFIN != 0 }

// Put writes h to the first HeaderSize bytes of b.
func (h Header) Put(b []byte) {
	_ = b[HeaderSize-1]
	b[0] = byte(h.Type)
	b[1] = h.Flags
	binary.BigEndian.PutUint16(b[2:], h.Participant)
	binary.BigEndian.PutUint32(b[4:], h.Channel)
	binary.BigEndian.PutUint64(b[8:], h.Offset)
}

// Errors of the decoder. A peer that causes one is cut off with an Error frame of code "protocol".
var (
	ErrShort   = errors.New("frame is shorter than its header")
	ErrLong    = fmt.Errorf("frame is longer than %d bytes", MaxFrame)
	ErrType    = errors.New("unknown frame type")
	ErrFlags   = errors.New("unknown flags")
	ErrOffset  = errors.New("offset out of range")
	ErrPayload = errors.New("malformed payload")
)

// Skip reports whether a receiver that does not know t skips it rather than refuses it.
func (t Type) Skip() bool { return t >= 0x80 }

var typeNames = [...]string{
	Data: "data", Ctl: "ctl", Credit: "credit", Ask: "ask", Hello: "hello", Go: "go", ExitStatement: "exit",
	ExitOK: "exit_ok", Done: "done", Away: "away", Moved: "moved", End: "end", Notice: "notice", Error: "error", Beat: "beat",
	Screen: "screen", Size: "size",
}

// String gives the name of t as PROTOCOL.md uses it.
func (t Type) String() string {
	if int(t) < len(typeNames) && typeNames[t] != "" {
		return typeNames[t]
	}
	return fmt.Sprintf("0x%02x", uint8(t))
}

// Decode splits a frame into header and payload and checks both against the rules that need no state: size, type,
// flags, offset range. The payload is a part of frame.
func Decode(frame []byte) (Header, []byte, error) {
	if len(frame) < HeaderSize {
		return Header{}, nil, ErrShort
	}
	if len(frame) > MaxFrame {
		return Header{}, nil, ErrLong
	}
	h := Header{
		Type:        Type(frame[0]),
		Flags:       frame[1],
		Participant: binary.BigEndian.Uint16(frame[2:]),
		Channel:     binary.BigEndian.Uint32(frame[4:]),
		Offset:      binary.BigEndian.Uint64(frame[8:]),
	}
	payload := frame[HeaderSize:]
	switch {
	case h.Type.Skip():
		return h, payload, nil
	case h.Type == 0 || h.Type > Size:
		return h, nil, fmt.Errorf("%w 0x%02x", ErrType, uint8(h.Type))
	case h.Flags&^FlagFIN != 0 || h.FIN() && h.Type != Data:
		return h, nil, fmt.Errorf("%w 0x%02x on %v", ErrFlags, h.Flags, h.Type)
	case h.Offset > MaxOffset-MaxFrame:
		return h, nil, ErrOffset
	case h.Type == Data && (h.Channel == ChannelCtl || len(payload) == 0 && !h.FIN()):
		return h, nil, fmt.Errorf("%w: data on channel %d, %d bytes", ErrPayload, h.Channel, len(payload))
	case h.Type == Ctl && (h.Channel != ChannelCtl || len(payload) == 0):
		return h, nil, fmt.Errorf("%w: ctl on channel %d, %d bytes", ErrPayload, h.Channel, len(payload))
	}
	return h, payload, nil
}

// Span returns the offset behind the frame: for data its bytes, plus one for FIN; for ctl one message.
func Span(h Header, payload []byte) uint64 {
	switch {
	case h.Type == Ctl:
		return h.Offset + 1
	case h.FIN():
		return h.Offset + uint64(len(payload)) + 1
	default:
		return h.Offset + uint64(len(payload))
	}
}
