package server

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// TestProgramsOfACutRecordingSaySo: of a recording that has ended and has no end any more, somebody took away the rest; its list of
// programs is not shown as if that had been all.
func TestProgramsOfACutRecordingSaySo(t *testing.T) {
	t.Parallel()
	dir, err := recording.OpenDir(t.TempDir(), recording.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	org, id := sess.NewOrgID(), sess.NewSessionID()
	j, err := dir.Open(org, id, recording.Meta{Kind: sess.KindExec, Started: time.Unix(1000, 0)})
	if err != nil {
		t.Fatal(err)
	}
	line := `{"t":"run","id":1,"argv":["ls"],"at":2}` + "\n"
	if err := j.Append(sess.SideAgent, wire.Header{Type: wire.Data, Channel: wire.ChannelPrograms}, []byte(line)); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Close(false); err != nil {
		t.Fatal(err)
	}
	s := &Server{recordings: dir}
	for state, damaged := range map[sess.RecordingState]bool{sess.RecordingActive: false, sess.RecordingComplete: true} {
		a, err := s.commandsAnswer(org, api.Recording{Session: id, State: state})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := a.send(&b); err != nil {
			t.Fatal(err)
		}
		_ = a.close()
		if !strings.HasPrefix(b.String(), line) || strings.Contains(b.String(), "damaged") != damaged {
			t.Errorf("%s: %s", state, &b)
		}
	}
}
