package recording

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// maxStreams bounds the streams a journal keeps track of: both directions of wire.MaxStreams, twice over for those that
// are closed and not yet forgotten.
const maxStreams = 4 * wire.MaxStreams

var errStreams = fmt.Errorf("more than %d streams in one session", maxStreams)

// streamKey names a stream of one side in one word.
type streamKey uint64

func keyOf(side sess.Side, id wire.StreamID) streamKey {
	return streamKey(sideCode(side))<<48 | streamKey(id.Participant)<<32 | streamKey(id.Channel)
}

// checkpoint is the first record of a segment: what a reader that begins here, or a journal that recovers from here,
// has to know of everything before.
type checkpoint struct {
	salt    uint32               // seeds the CRC of the segment's other records, so that no payload can pose as a record
	number  uint64               // of the segment, from 0
	gapped  bool                 // bytes are missing before here
	client  uint64               // payload bytes recorded from the client, all kinds of frame
	agent   uint64               // and from the agent
	moved   sess.Traffic         // bytes of the streams people think of, whether or not they are on record
	streams map[streamKey]uint64 // offset up to which each stream is recorded
}

// checkpointVersion is what is written; 1, which had no moved, is read too.
const checkpointVersion = 2

// append encodes c behind b.
func (c *checkpoint) append(b []byte) []byte {
	b = append(b, checkpointVersion)
	b = binary.BigEndian.AppendUint32(b, c.salt)
	b = binary.AppendUvarint(b, c.number)
	var gapped byte
	if c.gapped {
		gapped = 1
	}
	b = append(b, gapped)
	b = binary.AppendUvarint(b, c.client)
	b = binary.AppendUvarint(b, c.agent)
	for _, n := range []int64{c.moved.In, c.moved.Out, c.moved.Err} {
		b = binary.AppendUvarint(b, uint64(n)) //nolint:gosec // they count up from 0
	}
	b = binary.AppendUvarint(b, uint64(len(c.streams)))
	for _, k := range slices.Sorted(maps.Keys(c.streams)) {
		b = binary.AppendUvarint(b, uint64(k))
		b = binary.AppendUvarint(b, c.streams[k])
	}
	return b
}

var errCheckpoint = errors.New("malformed checkpoint")

func decodeCheckpoint(b []byte) (checkpoint, error) {
	if len(b) < 5 || b[0] == 0 || b[0] > checkpointVersion {
		return checkpoint{}, errCheckpoint
	}
	bad, version := false, b[0]
	b, c := b[5:], checkpoint{salt: binary.BigEndian.Uint32(b[1:])}
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > 1<<62 {
			bad, b = true, nil
			return 0
		}
		b = b[n:]
		return v
	}
	c.number = number()
	if len(b) == 0 {
		return checkpoint{}, errCheckpoint
	}
	c.gapped = b[0]&1 != 0
	b = b[1:]
	c.client, c.agent = number(), number()
	if version > 1 {
		for _, n := range []*int64{&c.moved.In, &c.moved.Out, &c.moved.Err} {
			*n = int64(number()) //nolint:gosec // number refuses what does not fit
		}
	}
	n := number()
	if bad || n > maxStreams {
		return checkpoint{}, errCheckpoint
	}
	c.streams = make(map[streamKey]uint64)
	for range n {
		k := streamKey(number())
		c.streams[k] = number()
	}
	if bad || len(b) != 0 || uint64(len(c.streams)) != n {
		return checkpoint{}, errCheckpoint
	}
	return c, nil
}

// apply moves c behind record r.
func (c *checkpoint) apply(r *Record) {
	id := wire.StreamID{Channel: r.Header.Channel, Participant: r.Header.Participant}
	switch r.Kind {
	case KindFrame, KindHidden:
		key, end := keyOf(r.Side, id), r.end()
		c.move(r.Side, r.Header, c.streams[key], end)
		c.streams[key] = end
		if r.Kind == KindHidden {
			return
		}
		if r.Side == sess.SideClient {
			c.client += uint64(len(r.Payload))
		} else {
			c.agent += uint64(len(r.Payload))
		}
	case KindRun:
		key := keyOf(r.Side, id)
		c.move(r.Side, r.Header, c.streams[key], r.Header.Offset)
		c.streams[key] = r.Header.Offset
		c.gapped = true
	case KindMark:
		c.gapped = c.gapped || markKind(r.Payload) == MarkGap
	case KindCheckpoint:
	}
}

// move counts what passed when a stream went on from have to end: by offsets, so that bytes which are not on record count
// as well. A session's parameters, its control messages and what is for the record alone are nobody's traffic.
func (c *checkpoint) move(side sess.Side, h wire.Header, have, end uint64) {
	if h.Type != wire.Data || end <= have || h.Channel == wire.ChannelParams && side == sess.SideClient {
		return
	}
	n := int64(end - have) //nolint:gosec // offsets stay below 1<<62
	if h.FIN() {
		n--
	}
	switch {
	case side == sess.SideClient:
		c.moved.In = min(c.moved.In+n, mostMoved)
	case h.Channel == wire.ChannelStderr:
		c.moved.Err = min(c.moved.Err+n, mostMoved)
	case h.Channel != wire.ChannelPrograms && h.Channel != wire.ChannelEchoed: // those only the record receives
		c.moved.Out = min(c.moved.Out+n, mostMoved)
	}
}

// mostMoved is where counting stops. Where a stream goes on is its sender's word: with some streams that each jump as far as
// offsets go the sum would not fit a checkpoint any more, and nothing behind it could be read.
const mostMoved = 1 << 61
