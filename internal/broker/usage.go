package broker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Limits of one look at usage.
const (
	maxUsageRows = 10_000
	maxMonths    = 120
)

// What usage can be put together by. byTag has the tag's name behind it.
const (
	byUser     = "user"
	byProject  = "project"
	byInstance = "instance"
	byKind     = "kind"
	byMonth    = "month"
	byOrg      = "org"
	byTag      = "tag:"
	byNothing  = ""
)

// span is the time that a look at usage is about: [since, until).
type span struct{ since, until time.Time }

// Usage sums up what sessions took. A session counts as a whole, in the time in which it ended: so what a month that is over
// says does not change any more, but for the recordings that are held. Everyone sees their own sessions; who may see the usage of
// a project, or of the organisation, sees those.
func (s *Service) Usage(ctx context.Context, who sess.Principal, in api.UsageIn) (api.Usage, error) {
	var out api.Usage
	own := policy.Resource{Org: who.Org, Type: policy.TypeUser, ID: string(who.User), Name: who.Name, Owner: who.User}
	err := s.gate.Read(ctx, who, policy.UsageShow, own, func(tx *gate.Tx) error {
		by, over, err := planUsage(in, []string{byUser, byProject, byInstance, byKind, byMonth}, true, s.now())
		if err != nil {
			return err
		}
		see, names, err := usageSeen(ctx, tx)
		if err != nil {
			return err
		}
		out, err = usageOf(by, over, func(by string, over span, limit int32) ([]store.SumUsageRow, error) {
			return sumUsage(ctx, tx.Tx, see, by, over, limit)
		})
		if by == byProject {
			for i := range out.Items {
				out.Items[i].Name = names[sess.ProjectID(out.Items[i].Key)]
			}
		}
		return err
	})
	if err != nil {
		return api.Usage{}, err
	}
	return out, nil
}

// BoxUsage sums up what the sessions of all organisations took, for the owner of the box: by org or month.
func (s *Service) BoxUsage(ctx context.Context, in api.UsageIn) (api.Usage, error) {
	var out api.Usage
	err := s.gate.Read(ctx, sess.BoxOwner(""), policy.UsageShow, policy.Org(""), func(tx *gate.Tx) error {
		by, over, err := planUsage(in, []string{byOrg, byMonth}, false, s.now())
		if err != nil {
			return err
		}
		out, err = usageOf(by, over, func(by string, over span, limit int32) ([]store.SumUsageRow, error) {
			rows, err := tx.SumUsageOfOrgs(ctx, by, store.Micros(over.since), store.Micros(over.until), limit)
			if err != nil {
				return nil, fmt.Errorf("sum usage: %w", err)
			}
			list := make([]store.SumUsageRow, 0, len(rows))
			for _, r := range rows {
				list = append(list, store.SumUsageRow(r))
			}
			return list, nil
		})
		return err
	})
	if err != nil {
		return api.Usage{}, err
	}
	return out, nil
}

// planUsage reads what is asked for. words are what it can be put together by, the first one if nothing is said.
func planUsage(in api.UsageIn, words []string, tags bool, now time.Time) (by string, over span, err error) {
	by = words[0]
	if in.By != "" {
		by = in.By
	}
	known := false
	for _, w := range words {
		known = known || by == w
	}
	name, isTag := strings.CutPrefix(by, byTag)
	if isTag && tags {
		if err := sess.CheckTag(name, "x"); err != nil {
			return "", over, err
		}
	} else if !known {
		hint := "by is one of " + strings.Join(words, ", ")
		if tags {
			hint += ", tag:NAME"
		}
		return "", over, sess.New(sess.CodeInvalid, fmt.Sprintf("usage can't be put together by %q", cut(by, maxVersion)), hint)
	}
	now = now.UTC()
	over = span{since: monthOf(now), until: now.Add(time.Microsecond)}
	if by == byMonth {
		over.since = over.since.AddDate(0, -11, 0)
	}
	if over.since, err = timeOr(in.Since, over.since); err != nil {
		return "", over, err
	}
	if over.until, err = timeOr(in.Until, over.until); err != nil {
		return "", over, err
	}
	if !over.since.Before(over.until) {
		return "", over, sess.New(sess.CodeInvalid, "the time to look at ends before it begins", "--since is the earlier one")
	}
	if by == byMonth && over.since.AddDate(0, maxMonths, 0).Before(over.until) {
		return "", over, sess.New(sess.CodeInvalid, fmt.Sprintf("that is more than %d months", maxMonths), "say a later --since")
	}
	return by, over, nil
}

// monthOf gives the beginning of the month that t is in.
func monthOf(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC) }

func timeOr(text string, otherwise time.Time) (time.Time, error) {
	if text == "" {
		return otherwise, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, sess.New(sess.CodeInvalid, "a time is not valid", "write 2026-11-01T00:00:00Z")
	}
	return t.UTC(), nil
}

// summing gives the sums over some time.
type summing func(by string, over span, limit int32) ([]store.SumUsageRow, error)

// usageOf makes the answer. Its total is that of all items, however many are given.
func usageOf(by string, over span, sum summing) (api.Usage, error) {
	out := api.Usage{By: by, Since: over.since, Until: over.until, Items: []api.UsageRow{}}
	var rows []store.SumUsageRow
	var err error
	if by == byMonth {
		rows, err = sumMonths(over, sum)
	} else {
		rows, err = sum(by, over, maxUsageRows+1)
	}
	if err != nil {
		return out, err
	}
	out.More = len(rows) > maxUsageRows
	for _, r := range rows[:min(len(rows), maxUsageRows)] {
		out.Items = append(out.Items, usageRow(r))
	}
	if !out.More { // adding up what is here is the same, and every row needn't be read again
		out.Total = usageRow(addUp(rows))
		return out, nil
	}
	total, err := sum(byNothing, over, 1)
	if err == nil && len(total) == 1 {
		out.Total = usageRow(total[0])
	}
	return out, err
}

// addUp gives the sum of sums.
func addUp(rows []store.SumUsageRow) (t store.SumUsageRow) {
	for _, r := range rows {
		t.Sessions += r.Sessions
		t.WallMicros += r.WallMicros
		t.Unmeasured += r.Unmeasured
		t.CPUMicros += r.CPUMicros
		t.MemPeak = max(t.MemPeak, r.MemPeak)
		t.BytesIn += r.BytesIn
		t.BytesOut += r.BytesOut
		t.BytesErr += r.BytesErr
		t.Stored += r.Stored
	}
	return t
}

// sumMonths sums up month by month, the newest first; months without sessions are left out.
func sumMonths(over span, sum summing) ([]store.SumUsageRow, error) {
	var rows []store.SumUsageRow
	for m := monthOf(over.until.Add(-time.Microsecond)); m.AddDate(0, 1, 0).After(over.since); m = m.AddDate(0, -1, 0) {
		part := span{since: m, until: m.AddDate(0, 1, 0)}
		if part.since.Before(over.since) {
			part.since = over.since
		}
		if part.until.After(over.until) {
			part.until = over.until
		}
		got, err := sum(byNothing, part, 1)
		if err != nil {
			return nil, err
		}
		for _, r := range got {
			r.Bucket = m.Format("2006-01")
			rows = append(rows, r)
		}
	}
	return rows, nil
}

func usageRow(r store.SumUsageRow) api.UsageRow {
	out := api.UsageRow{
		Key: r.Bucket, Name: r.BucketName, Sessions: r.Sessions, WallUS: r.WallMicros, BytesIn: r.BytesIn, BytesOut: r.BytesOut,
		BytesErr: r.BytesErr, RecStored: r.Stored, Unmeasured: r.Unmeasured,
	}
	if r.Unmeasured < r.Sessions {
		out.CPUUS, out.MemPeak = &r.CPUMicros, &r.MemPeak
	}
	return out
}

// seen says whose usage somebody sees, as queries take it.
type seen struct {
	org              sess.OrgID
	all              int64
	hidden, projects string
	own              string
}

// usageSeen finds out what of the organisation's usage the principal may see, project by project: sums can't be looked at row by
// row, so what decides must not look at more than that. It gives the names of the projects, too.
func usageSeen(ctx context.Context, tx *gate.Tx) (seen, map[sess.ProjectID]string, error) {
	who := tx.Who()
	rows, err := tx.ListProjectNames(ctx, who.Org)
	if err != nil {
		return seen{}, nil, fmt.Errorf("list projects: %w", err)
	}
	v := seen{org: who.Org, all: flag(tx.Allowed(policy.UsageShow, policy.Org(who.Org))), hidden: ",", projects: ",", own: string(who.User)}
	names := map[sess.ProjectID]string{}
	for _, p := range rows {
		names[p.ID] = p.Name
		on := policy.Resource{Org: who.Org, Project: p.ID, Type: policy.TypeProject, ID: string(p.ID), Name: p.Name}
		if tx.Allowed(policy.UsageShow, on) {
			v.projects += string(p.ID) + ","
		} else {
			v.hidden += string(p.ID) + ","
		}
	}
	return v, names, nil
}

func sumUsage(ctx context.Context, tx *store.Tx, see seen, by string, over span, limit int32) ([]store.SumUsageRow, error) {
	since, until := store.Micros(over.since), store.Micros(over.until)
	name, isTag := strings.CutPrefix(by, byTag)
	if !isTag {
		rows, err := tx.SumUsage(ctx, store.SumUsageParams{
			Org: see.org, By: by, Since: since, Until: until, SeeAll: see.all, Hidden: see.hidden, SeeProjects: see.projects, SeeOf: see.own, Page: limit,
		})
		if err != nil {
			return nil, fmt.Errorf("sum usage: %w", err)
		}
		return rows, nil
	}
	rows, err := tx.SumUsageByTag(ctx, store.SumUsageByTagParams{
		Org: see.org, Tag: name, Since: since, Until: until, SeeAll: see.all, Hidden: see.hidden, SeeProjects: see.projects, SeeOf: see.own, Page: limit,
	})
	if err != nil {
		return nil, fmt.Errorf("sum usage by tag: %w", err)
	}
	list := make([]store.SumUsageRow, 0, len(rows))
	for _, r := range rows {
		list = append(list, store.SumUsageRow(r))
	}
	return list, nil
}
