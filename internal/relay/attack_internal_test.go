package relay

import (
	"testing"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// TestCreditForUnknownStreamsIsNotKept: a side can't fill the relay's memory by crediting streams that nobody sends.
func TestCreditForUnknownStreamsIsNotKept(t *testing.T) {
	s := &session{}
	p := &party{side: sess.SideClient, went: true}
	s.parties[0] = p
	for i := range uint32(100) {
		var cs []wire.StreamCredit
		for k := range uint32(wire.MaxStreams) {
			cs = append(cs, wire.StreamCredit{StreamID: wire.StreamID{Channel: i*wire.MaxStreams + k}, Limit: 1})
		}
		if err := s.credit(p, wire.AppendCredit(nil, cs...)); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.flows) > 0 {
		t.Errorf("%d streams are kept", len(s.flows))
	}
}

// TestHellosNameAtMostMaxFlows: nor by naming others in each hello.
func TestHellosNameAtMostMaxFlows(t *testing.T) {
	s := &session{}
	for i := range uint32(maxFlows) {
		s.flow(sess.SideClient, wire.StreamID{Channel: i})
	}
	h := wire.HelloFrame{Send: []wire.SendState{{StreamID: wire.StreamID{Channel: 1 << 20}}}}
	if err := s.hello(&party{side: sess.SideClient}, wire.AppendHello(nil, h)); err == nil {
		t.Error("a hello with one more stream is taken")
	}
}
