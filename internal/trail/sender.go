package trail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/outbound"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// sender carries events to a sink. It is for one goroutine.
type sender interface {
	// send delivers events, all of them in order or an error.
	send(ctx context.Context, events []store.AuditEvent) error
	// test delivers a message that is no event.
	test(ctx context.Context, now time.Time) error
	close()
}

// sender makes the sender of a sink.
func (s *Service) sender(row store.AuditSink) (sender, error) {
	f := form{log: row.Log, ocsf: row.Format == formatOCSF, version: s.Version}
	if row.Kind == sinkSyslog {
		out, err := outbound.NewSyslog(outbound.SyslogConfig{URL: row.URL, CA: row.CA, Guard: s.guard(row), Local: row.Local == 1, Host: s.Host})
		if err != nil {
			return nil, err //nolint:wrapcheck // it says everything
		}
		return &syslogSender{out, f}, nil
	}
	secret, err := s.Sealer.Open(row.Secret, sealContext(row))
	if err != nil {
		return nil, fmt.Errorf("open secret of sink: %w", err)
	}
	out, err := outbound.NewWebhook(outbound.WebhookConfig{URL: row.URL, Secret: string(secret), CA: row.CA, Guard: s.guard(row), Now: s.Now})
	if err != nil {
		return nil, err //nolint:wrapcheck // it says everything
	}
	return &webhookSender{out, f, row.ID}, nil
}

// form is how events are written for a sink.
type form struct {
	log     string
	ocsf    bool
	version string
}

// event writes one event: verbatim, or in OCSF.
func (f form) event(e store.AuditEvent) (json.RawMessage, error) {
	if !f.ocsf {
		return json.RawMessage(e.Body), nil
	}
	v, err := audit.ToOCSF(*e.Idx, []byte(e.Body), f.version)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says everything
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write event as OCSF: %w", err)
	}
	return b, nil
}

type webhookSender struct {
	out  *outbound.Webhook
	form form
	sink string
}

// posted is the body of a webhook.
type posted struct {
	Log    string        `json:"log"`
	Test   bool          `json:"test,omitempty"`
	Events []postedEvent `json:"events"`
}

type postedEvent struct {
	Index int64           `json:"index"`
	Event json.RawMessage `json:"event"`
}

// send posts the events of each log by itself: who receives those of several tells them by the log.
func (w *webhookSender) send(ctx context.Context, events []store.AuditEvent) error {
	for len(events) > 0 {
		n := 1
		for n < len(events) && events[n].Log == events[0].Log {
			n++
		}
		p := posted{Log: events[0].Log}
		for _, e := range events[:n] {
			body, err := w.form.event(e)
			if err != nil {
				return err
			}
			p.Events = append(p.Events, postedEvent{*e.Idx, body})
		}
		if err := w.post(ctx, fmt.Sprintf("%s.%s.%d.%d", w.sink, p.Log, *events[0].Idx, n), p); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

func (w *webhookSender) test(ctx context.Context, now time.Time) error {
	return w.post(ctx, fmt.Sprintf("%s.test.%d", w.sink, now.UnixMicro()), posted{Log: w.form.log, Test: true, Events: []postedEvent{}})
}

func (w *webhookSender) post(ctx context.Context, id string, p posted) error {
	b, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("write webhook: %w", err)
	}
	return w.out.Post(ctx, outbound.Message{ID: id, Body: b}) //nolint:wrapcheck // looked at by its type
}

func (w *webhookSender) close() { w.out.Close() }

type syslogSender struct {
	out  *outbound.Syslog
	form form
}

func (s *syslogSender) send(ctx context.Context, events []store.AuditEvent) error {
	list := make([]outbound.SyslogMessage, len(events))
	for i, e := range events {
		text, err := s.form.event(e)
		if err != nil {
			return err
		}
		m := outbound.SyslogMessage{Time: store.Time(e.CreatedAt), Severity: outbound.SeverityInfo, ID: e.Action, Text: text, Data: []outbound.SyslogParam{
			{Name: "log", Value: e.Log},
			{Name: "index", Value: fmt.Sprint(*e.Idx)},
			{Name: "id", Value: string(e.ID)},
			{Name: "outcome", Value: e.Outcome},
			{Name: "who", Value: e.Who},
			{Name: "address", Value: e.Address},
			{Name: "session", Value: string(e.Session)},
		}}
		switch audit.Outcome(e.Outcome) {
		case audit.Refused:
			m.Severity = outbound.SeverityWarning
		case audit.Failed:
			m.Severity = outbound.SeverityError
		case audit.Allowed:
		}
		list[i] = m
	}
	return s.out.Send(ctx, list) //nolint:wrapcheck // looked at by its type
}

func (s *syslogSender) test(ctx context.Context, now time.Time) error {
	return s.out.Send(ctx, []outbound.SyslogMessage{{ //nolint:wrapcheck // looked at by its type
		Time: now, Severity: outbound.SeverityInfo, ID: "test", Text: []byte(`{"test":true}`), Data: []outbound.SyslogParam{{Name: "log", Value: s.form.log}},
	}})
}

func (s *syslogSender) close() { s.out.Close() }

// problemOf says for an admin of an organisation what went wrong, and nothing that only the server's log may have.
func problemOf(err error) string {
	if f, ok := errors.AsType[*outbound.Failure](err); ok {
		return f.Reason
	}
	if e, ok := errors.AsType[*sess.Error](err); ok {
		return e.Message
	}
	return "it went wrong on the server, whose log has the cause"
}

// cause is what only the server's log may have.
func cause(err error) string {
	if u := errors.Unwrap(err); u != nil {
		return u.Error()
	}
	return ""
}
