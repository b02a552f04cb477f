package trail

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/outbound"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// maxSinks bounds the sinks of one log.
const maxSinks = 10

// The kinds of sink, and the formats of what they get.
const (
	sinkWebhook = "webhook"
	sinkSyslog  = "syslog"
	formatJSON  = "json"
	formatOCSF  = "ocsf"
)

// sinkName is what a sink may be called.
var sinkName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// CreateSink has the log of who's organisation streamed to a place.
func (s *Service) CreateSink(ctx context.Context, who sess.Principal, in api.SinkIn) (api.SinkAdded, error) {
	var out api.SinkAdded
	err := s.Gate.Do(ctx, who, policy.SinkCreate, logResource(who), func(tx *gate.Tx) error {
		row, secret, err := s.newSink(who, in)
		if err != nil {
			return err
		}
		if err := tx.Lock(ctx, "sinks "+row.Log); err != nil {
			return err //nolint:wrapcheck // it says everything
		}
		others, err := tx.ListAuditSinks(ctx, row.Log, maxSinks)
		if err != nil {
			return fmt.Errorf("count sinks: %w", err)
		}
		if len(others) >= maxSinks {
			return sess.New(sess.CodeLimited, fmt.Sprintf("the log is streamed to %d places already", maxSinks), "remove one first: "+sinkCommand(who)+" remove NAME")
		}
		n, err := tx.CreateAuditSink(ctx, store.CreateAuditSinkParams{
			Log: row.Log, ID: row.ID, Name: row.Name, Kind: row.Kind, URL: row.URL, Format: row.Format, CA: row.CA, Secret: row.Secret,
			Local: row.Local, CreatedAt: row.CreatedAt, CreatedBy: row.CreatedBy,
		})
		if err != nil {
			return fmt.Errorf("create sink: %w", err)
		}
		if n == 0 {
			return sess.New(sess.CodeConflict, "there is a sink named "+row.Name+" already", "take another name")
		}
		if err := s.placeCursors(ctx, tx, row, in.Body.FromStart); err != nil {
			return err
		}
		tx.On(sinkResource(who, row))
		tx.Detail("kind", row.Kind)
		tx.Detail("to", hostOf(row.URL))
		out.Sink, err = s.sinkView(ctx, tx, row)
		tx.Detail("from", fmt.Sprint(out.Sink.Next))
		if in.Body.Secret == "" {
			out.Secret = secret
		}
		return err
	})
	if err != nil {
		return api.SinkAdded{}, err
	}
	return out, nil
}

// placeCursors has a new sink begin in the log of its organisation, or in all logs if it is one of the box's owner.
func (s *Service) placeCursors(ctx context.Context, tx *gate.Tx, row store.AuditSink, fromStart bool) error {
	logs := []string{row.Log}
	if everyLog(row) {
		orgs, err := tx.ListLogsNewToSink(ctx, row.ID, maxIdx)
		if err != nil {
			return fmt.Errorf("list logs: %w", err)
		}
		for _, org := range orgs {
			logs = append(logs, audit.LogOf(org))
		}
	}
	for _, log := range logs {
		next := int64(0)
		if !fromStart {
			var err error
			if next, err = tx.GetAuditSize(ctx, log); err != nil {
				return fmt.Errorf("size of audit log: %w", err)
			}
		}
		if err := tx.PutAuditCursor(ctx, log, row.ID, next); err != nil {
			return fmt.Errorf("place cursor of sink: %w", err)
		}
	}
	return nil
}

// everyLog reports whether a sink gets all logs of the server: it is one of the box's owner.
func everyLog(row store.AuditSink) bool { return row.Log == audit.BoxLog }

// newSink checks what is asked for. The secret is sealed in the row.
func (s *Service) newSink(who sess.Principal, in api.SinkIn) (store.AuditSink, string, error) {
	b := in.Body
	row := store.AuditSink{
		Log: logOf(who), ID: sess.NewSinkID(), Name: b.Name, URL: b.URL, Format: b.Format, CA: b.CA, CreatedAt: store.Micros(s.Now()), CreatedBy: who.Name,
	}
	if row.Format == "" {
		row.Format = formatJSON
	}
	if who.Credential == sess.CredentialAdmin {
		row.Local = 1
	}
	if !sinkName.MatchString(row.Name) {
		return row, "", sess.New(sess.CodeInvalid, "that can't be the name of a sink", "use up to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit")
	}
	u, err := url.Parse(b.URL)
	if err != nil {
		return row, "", sess.New(sess.CodeInvalid, "that is no address", "give https://HOST/PATH for a webhook, or tls://HOST:PORT for syslog") // the cause would quote it
	}
	secret := b.Secret
	if row.Kind = sinkSyslog; u.Scheme == "https" || u.Scheme == "http" {
		row.Kind = sinkWebhook
		if secret == "" {
			secret = outbound.NewSecret()
		}
		row.Secret = s.Sealer.Seal([]byte(secret), sealContext(row))
	} else if secret != "" {
		return row, "", sess.New(sess.CodeInvalid, "syslog has no secret", "leave it out")
	}
	out, err := s.sender(row)
	if err != nil {
		return row, "", err
	}
	out.close()
	return row, secret, nil
}

// sinkCommand is what who sets up sinks with.
func sinkCommand(who sess.Principal) string {
	if who.Org == "" {
		return "sess-server admin sink"
	}
	return "sessctl audit sink"
}

// sealContext says whose secret it is.
func sealContext(row store.AuditSink) string { return "audit sink " + row.Log + " " + row.ID }

// guard gives what a sink may reach: those of the box's owner, this machine, too.
func (s *Service) guard(row store.AuditSink) outbound.Guard {
	return outbound.Guard{AllowPrivate: s.Guard.AllowPrivate || row.Local == 1}
}

func sinkResource(who sess.Principal, row store.AuditSink) policy.Resource {
	return policy.Resource{Org: who.Org, Type: policy.TypeSink, ID: row.ID, Name: row.Name}
}

// hostOf is as much of an address as may stand in the log: what follows may be a secret.
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// sinkView gives a sink as admins see it.
func (s *Service) sinkView(ctx context.Context, tx *gate.Tx, row store.AuditSink) (api.Sink, error) {
	at, err := tx.SumAuditCursors(ctx, row.ID)
	if err != nil {
		return api.Sink{}, fmt.Errorf("look how far a sink is: %w", err)
	}
	out := api.Sink{
		ID: row.ID, Name: row.Name, Kind: row.Kind, URL: row.URL, Format: row.Format, HasCA: row.CA != "", CreatedAt: store.Time(row.CreatedAt),
		CreatedBy: row.CreatedBy, Next: at.Next, Waiting: max(at.Waiting, 0), DeliveredAt: timeOrNil(row.DeliveredAt),
		Failures: row.Failures, Problem: row.Problem, FailedAt: timeOrNil(row.FailedAt),
	}
	if at.WaitingFrom > 0 {
		out.WaitingFrom = timeOrNil(&at.WaitingFrom)
	}
	return out, nil
}

// ListSinks lists where the log of who's organisation is streamed to, newest first.
func (s *Service) ListSinks(ctx context.Context, who sess.Principal) (api.SinkList, error) {
	out := api.SinkList{Items: []api.Sink{}}
	err := s.Gate.Read(ctx, who, policy.SinkList, logResource(who), func(tx *gate.Tx) error {
		rows, err := tx.ListAuditSinks(ctx, logOf(who), maxSinks)
		if err != nil {
			return fmt.Errorf("list sinks: %w", err)
		}
		for _, r := range rows {
			view, err := s.sinkView(ctx, tx, r)
			if err != nil {
				return err
			}
			out.Items = append(out.Items, view)
		}
		return nil
	})
	if err != nil {
		return api.SinkList{}, err
	}
	return out, nil
}

// findSink finds a sink by name or id.
func findSink(ctx context.Context, tx *gate.Tx, who sess.Principal, ref string) (row store.AuditSink, err error) {
	if sess.ValidID("snk", ref) {
		row, err = tx.GetAuditSink(ctx, logOf(who), ref)
	} else {
		row, err = tx.GetAuditSinkByName(ctx, logOf(who), ref)
	}
	if isNotFound(err) {
		return row, sess.New(sess.CodeNotFound, "the log is not streamed to a place of that name", sinkCommand(who)+" list shows those there are")
	}
	if err != nil {
		return row, fmt.Errorf("look for sink: %w", err)
	}
	tx.On(sinkResource(who, row))
	return row, nil
}

// GetSink shows a sink and how far it is.
func (s *Service) GetSink(ctx context.Context, who sess.Principal, in api.SinkRef) (api.Sink, error) {
	var out api.Sink
	err := s.Gate.Read(ctx, who, policy.SinkShow, logResource(who), func(tx *gate.Tx) error {
		row, err := findSink(ctx, tx, who, in.Sink)
		if err != nil {
			return err
		}
		out, err = s.sinkView(ctx, tx, row)
		return err
	})
	if err != nil {
		return api.Sink{}, err
	}
	return out, nil
}

// TestSink sends a message of its own to a sink, beside the stream.
func (s *Service) TestSink(ctx context.Context, who sess.Principal, in api.SinkRef) (api.SinkTestOut, error) {
	var row store.AuditSink
	err := s.Gate.Read(ctx, who, policy.SinkTest, logResource(who), func(tx *gate.Tx) (err error) {
		row, err = findSink(ctx, tx, who, in.Sink)
		return err
	})
	if err != nil {
		return api.SinkTestOut{}, err
	}
	out, err := s.sender(row)
	if err != nil {
		return api.SinkTestOut{Problem: problemOf(err)}, nil
	}
	defer out.close()
	if err := out.test(ctx, s.Now()); err != nil {
		s.Log.InfoContext(ctx, "test of audit sink failed", "log", row.Log, "sink", row.Name, "err", err, "cause", cause(err))
		return api.SinkTestOut{Problem: problemOf(err)}, nil
	}
	return api.SinkTestOut{OK: true}, nil
}

// RemoveSink ends the streaming to a sink. What it was not sent yet stays in the log.
func (s *Service) RemoveSink(ctx context.Context, who sess.Principal, in api.SinkRef) error {
	return s.Gate.Do(ctx, who, policy.SinkRemove, logResource(who), func(tx *gate.Tx) error {
		row, err := findSink(ctx, tx, who, in.Sink)
		if err != nil {
			return err
		}
		tx.Detail("to", hostOf(row.URL))
		at, err := tx.SumAuditCursors(ctx, row.ID)
		if err != nil {
			return fmt.Errorf("look how far a sink is: %w", err)
		}
		tx.Detail("next", fmt.Sprint(at.Next))
		if _, err := tx.DeleteAuditSink(ctx, row.Log, row.ID); err != nil {
			return fmt.Errorf("remove sink: %w", err)
		}
		if err := tx.DeleteAuditCursors(ctx, row.ID); err != nil {
			return fmt.Errorf("remove cursors of sink: %w", err)
		}
		return nil
	})
}

func timeOrNil(us *int64) *time.Time {
	if us == nil {
		return nil
	}
	t := store.Time(*us)
	return &t
}
