package sess_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessctl/sess/internal/sess"
)

func TestTighten(t *testing.T) {
	var before, now sess.Effective
	before.Apply(sess.Controls{IdleSeconds: 60, Recording: sess.RecordOff, Sessions: 5}, sess.SourceRole("a"))
	kept := before
	now.Apply(sess.Controls{IdleSeconds: 90, MaxSeconds: 30, Sessions: 2, Recording: sess.RecordStrict, ReasonRequired: true, OSUsers: []string{"x"}}, sess.SourceOrg)
	if !before.Tighten(now) {
		t.Fatal("nothing changed")
	}
	want := sess.Effective{
		Controls: sess.Controls{IdleSeconds: 60, MaxSeconds: 30, Sessions: 2, Recording: sess.RecordOff},
		From: map[sess.Control]string{
			sess.ControlIdle: "role/a", sess.ControlRecording: "role/a", sess.ControlMax: sess.SourceOrg, sess.ControlSessions: sess.SourceOrg,
		},
	}
	if d := cmp.Diff(want, before); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if kept.From[sess.ControlSessions] != "role/a" {
		t.Error("what was shared changed")
	}
	if before.Tighten(now) {
		t.Error("the same again makes it stricter")
	}
	got, err := sess.ParseEffective(before.Text())
	if d := cmp.Diff(before, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	if got := (sess.Effective{}).Text(); got != "{}" {
		t.Errorf("nothing is %s", got)
	}
	if g := (sess.Controls{}).Grace(sess.KindShell); g != 10*time.Minute {
		t.Errorf("grace %s", g)
	}
}
