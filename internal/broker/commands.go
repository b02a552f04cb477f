package broker

import (
	"context"
	"fmt"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Commands is Recording for somebody who is about to see the programs that ran in a session. Nothing may be sent before it
// returned nil.
func (s *Service) Commands(ctx context.Context, who sess.Principal, in api.SessionRef) (api.Recording, error) {
	var out api.Recording
	err := s.gate.ReadFind(ctx, who, policy.RecordingCommands, s.recordingByRef(ctx, in.Session, &out, &store.Session{}), func(*gate.Tx) error { return sealed(out) })
	if err != nil {
		return api.Recording{}, err
	}
	return out, nil
}

// programsEvent puts on record what an agent states of the programs that ran. The list itself is in the recording; its
// digest here is what binds the two.
func (s *Service) programsEvent(ctx context.Context, tx *store.Tx, r store.Session, sum *sess.ProgramsSum) error {
	if sum == nil {
		return nil
	}
	details := map[string]string{"instance": r.InstanceName, "owner": r.UserName}
	if sum.None != "" {
		details["none"] = sum.None
	} else {
		details["count"], details["lost"] = fmt.Sprint(sum.Count), fmt.Sprint(sum.Lost)
	}
	if sum.Digest != "" {
		details["digest"] = sum.Digest
	}
	return s.gate.Event(ctx, tx, gate.Entry{Who: sess.System(r.Org), Action: policy.SessionCommands, On: sessionResource(r), Session: r.ID, Details: details})
}

// maxStated bounds a word of an agent's statement.
const maxStated = 128

// sealed refuses a list of programs that only those can read whom the recording is encrypted to.
func sealed(r api.Recording) error {
	if len(r.Recipients) == 0 {
		return nil
	}
	return sess.New(sess.CodeInvalid, "the programs of session "+string(r.Session)+" are in its recording, which is encrypted: the server can't read them",
		"sessctl session show "+string(r.Session)+" --commands --identity FILE reads them with your key")
}
