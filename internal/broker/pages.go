package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Limits on the work for one page. Where rules let somebody see few of many rows, a page may come back short, even empty, with a
// cursor to go on at: a request never takes long, however many rows lie between.
const (
	maxRounds  = 20
	pageBudget = 15 * time.Millisecond
	// maxWays bounds the ways in that are merged; beyond, rows are looked at one by one.
	maxWays = 64
	// maxLabels bounds the labels that a list is filtered by.
	maxLabels = 8
)

// sessionQuery is what a list of sessions, or of their recordings, asks for.
type sessionQuery struct {
	page     api.Page
	state    string // live, ended, all
	user     string // name or id
	mine     bool
	instance string // name or id
	project  string // name or id
	kind     sess.Kind
	labels   []string // NAME=VALUE, of the instance, now
	tag      string   // NAME=VALUE
	prefix   string   // of the id
	since    time.Time
	started  bool

	shares []store.SessionShare // with who asks
	shared bool                 // only those

	// What decides about each row: the action that shows it, and what it is for that.
	show policy.Action
	as   func(store.Session) policy.Resource
}

// way is one way in: rows in the order of the list, below a cursor.
type way func(ctx context.Context, p store.PageSessionsParams) ([]store.Session, error)

// list gives a page of what the principal may see, and the cursor of the next; empty: there is none.
func (s *Service) list(ctx context.Context, tx *gate.Tx, q sessionQuery) ([]store.Session, string, error) {
	limit := q.page.Limit
	if limit <= 0 {
		limit = api.DefaultPage
	}
	limit = min(limit, api.MaxPage)
	at, err := store.ParseCursor(q.page.After)
	if err != nil {
		return nil, "", err
	}
	f, ok, err := q.find(ctx, tx, s.now())
	if err != nil || !ok {
		return nil, "", err
	}
	items, began := []store.Session{}, s.now()
	for round := 1; ; round++ {
		f.params.BeforeAt, f.params.BeforeID, f.params.Page = at.At, at.ID, int32(limit+1)
		rows, err := merge(ctx, f.ways, f.params)
		if err != nil {
			return nil, "", fmt.Errorf("list sessions: %w", err)
		}
		more := len(rows) > limit
		rows = rows[:min(len(rows), limit)]
		for i, r := range rows {
			at = store.Cursor{At: r.CreatedAt, ID: string(r.ID)}
			if !f.wants(r) || !tx.Allowed(q.show, q.as(r)) {
				continue
			}
			items = append(items, r)
			if len(items) == limit && (more || i+1 < len(rows)) {
				return items, at.String(), nil
			}
		}
		if !more {
			return items, "", nil
		}
		if len(items) == limit || round == maxRounds || s.now().Sub(began) >= pageBudget {
			return items, at.String(), nil
		}
	}
}

// found is a query, looked up.
type found struct {
	params    store.PageSessionsParams
	ways      []way
	users     []sess.UserID     // only theirs; nil: anybody's
	instances []sess.InstanceID // only there; nil: anywhere
	tag       [2]string         // only those with this name and value; empty: with any or none
}

// wants reports whether a row fits what the statements don't look at.
func (f found) wants(r store.Session) bool {
	return (f.users == nil || slices.Contains(f.users, r.UserID)) && (f.instances == nil || slices.Contains(f.instances, r.Instance)) &&
		(f.tag[0] == "" || tagsOf(r)[f.tag[0]] == f.tag[1])
}

// find looks up what a query names and chooses the ways in; false: nothing can fit.
func (q sessionQuery) find(ctx context.Context, tx *gate.Tx, now time.Time) (found, bool, error) {
	var f found
	org := tx.Who().Org
	pattern, ok := idPattern(q.prefix)
	if !ok {
		return f, false, nil
	}
	see := tx.Scope(q.show, q.as(store.Session{Org: org}).Type)
	f.params = store.PageSessionsParams{
		Org: org, State: cmp.Or(q.state, "all"), OfKind: string(q.kind), Pattern: pattern, StartedOnly: flag(q.started),
		SeeAll: flag(see.Org), SeeProjects: projectList(see),
	}
	if see.Own {
		f.params.SeeOf = string(tx.Who().User)
	}
	if !q.since.IsZero() {
		f.params.Since = store.Micros(q.since)
	}
	if q.tag != "" {
		var err error
		if f.tag[0], f.tag[1], err = sess.ParseTag(q.tag); err != nil {
			return f, false, err
		}
	}
	for _, look := range []func(context.Context, *gate.Tx, *found) error{q.findUsers, q.findInstances, q.findProject} {
		if err := look(ctx, tx, &f); err != nil {
			if errors.Is(err, store.ErrNotFound) {
				return f, false, nil
			}
			return f, false, err
		}
	}
	if !q.shared {
		f.choose(tx, see)
	}
	if len(q.shares) > 0 && f.params.State != "ended" {
		f.ways = append(f.ways, sharedWith(tx, store.Micros(now)))
	}
	return f, true, nil
}

// sharedWith is the way to the live sessions that are shared with who asks.
func sharedWith(tx *gate.Tx, now int64) way {
	return func(ctx context.Context, p store.PageSessionsParams) ([]store.Session, error) {
		return tx.PageSharedSessions(ctx, store.PageSharedSessionsParams{
			Org: p.Org, WithUser: tx.Who().User, BeforeAt: p.BeforeAt, BeforeID: p.BeforeID, Since: p.Since, OfKind: p.OfKind, OfProject: p.OfProject,
			Pattern: p.Pattern, Now: now, Page: p.Page,
		})
	}
}

func (q sessionQuery) findUsers(ctx context.Context, tx *gate.Tx, f *found) error {
	who := tx.Who()
	if q.user != "" {
		var err error
		if f.users, err = tx.ListUsersCalled(ctx, who.Org, q.user); err != nil {
			return fmt.Errorf("look for user: %w", err)
		}
		if len(f.users) == 0 && tx.Allowed(policy.UserList, policy.Org(who.Org)) { // a slip of the keyboard must not read as good news
			return sess.New(sess.CodeNotFound, fmt.Sprintf("no user %q in this organisation", clean(q.user, maxReason)), "sessctl user list shows them")
		}
	}
	if q.mine {
		if f.users != nil && !slices.Contains(f.users, who.User) {
			return store.ErrNotFound
		}
		f.users = []sess.UserID{who.User}
	}
	if f.users != nil && len(f.users) == 0 {
		return store.ErrNotFound
	}
	return nil
}

func (q sessionQuery) findInstances(ctx context.Context, tx *gate.Tx, f *found) error {
	org := tx.Who().Org
	narrow := func(ids []sess.InstanceID, err error) error {
		if err != nil {
			return fmt.Errorf("look for instances: %w", err)
		}
		if f.instances != nil {
			ids = slices.DeleteFunc(ids, func(id sess.InstanceID) bool { return !slices.Contains(f.instances, id) })
		}
		if f.instances = ids; len(ids) == 0 {
			return store.ErrNotFound
		}
		return nil
	}
	if q.instance != "" {
		if err := narrow(tx.ListInstancesCalled(ctx, org, q.instance)); err != nil {
			return err
		}
	}
	if len(q.labels) > maxLabels {
		return sess.New(sess.CodeInvalid, fmt.Sprintf("more than %d labels", maxLabels), "")
	}
	for _, l := range q.labels {
		name, value, ok := strings.Cut(l, "=")
		if !ok || name == "" {
			return sess.New(sess.CodeInvalid, fmt.Sprintf("%.64q is no label to filter by", l), "write NAME=VALUE")
		}
		if err := narrow(tx.ListInstancesLabelled(ctx, org, name, value)); err != nil {
			return err
		}
	}
	return nil
}

func (q sessionQuery) findProject(ctx context.Context, tx *gate.Tx, f *found) error {
	if q.project == "" {
		return nil
	}
	org := tx.Who().Org
	var p store.Project
	var err error
	if sess.ValidID("prj", q.project) {
		p, err = tx.GetProject(ctx, org, sess.ProjectID(q.project))
	} else {
		p, err = tx.GetProjectByName(ctx, org, q.project)
	}
	if err != nil {
		return err
	}
	f.params.OfProject = string(p.ID)
	return nil
}

// choose picks the ways in that have the fewest rows of no use: who sees little must not wait for what they don't see.
func (f *found) choose(tx *gate.Tx, see policy.Scope) {
	switch {
	case f.params.State == "live": // there are few
		f.ways = append(f.ways, func(ctx context.Context, p store.PageSessionsParams) ([]store.Session, error) {
			return tx.PageLiveSessions(ctx, store.PageLiveSessionsParams(p))
		})
	case f.tag[0] != "":
		f.ways = append(f.ways, func(ctx context.Context, p store.PageSessionsParams) ([]store.Session, error) {
			p.Key, p.Value = f.tag[0], f.tag[1]
			return tx.PageSessionsOfTag(ctx, store.PageSessionsOfTagParams(p))
		})
	case len(f.users) > 0 && len(f.users) <= maxWays:
		for _, u := range f.users {
			f.ways = append(f.ways, ofUser(tx, u))
		}
	case len(f.instances) > 0 && len(f.instances) <= maxWays:
		for _, i := range f.instances {
			f.ways = append(f.ways, func(ctx context.Context, p store.PageSessionsParams) ([]store.Session, error) {
				p.Key = string(i)
				return tx.PageSessionsOfInstance(ctx, store.PageSessionsOfInstanceParams(p))
			})
		}
	case f.params.OfProject != "":
		f.ways = append(f.ways, ofProject(tx, sess.ProjectID(f.params.OfProject)))
	case see.Org || len(see.Projects) >= maxWays:
		f.ways = append(f.ways, func(ctx context.Context, p store.PageSessionsParams) ([]store.Session, error) {
			return tx.PageSessions(ctx, p)
		})
	default:
		for _, p := range see.Projects {
			f.ways = append(f.ways, ofProject(tx, p))
		}
		if see.Own {
			f.ways = append(f.ways, ofUser(tx, tx.Who().User))
		}
	}
}

func ofUser(tx *gate.Tx, u sess.UserID) way {
	return func(ctx context.Context, p store.PageSessionsParams) ([]store.Session, error) {
		p.Key = string(u)
		return tx.PageSessionsOfUser(ctx, store.PageSessionsOfUserParams(p))
	}
}

func ofProject(tx *gate.Tx, id sess.ProjectID) way {
	return func(ctx context.Context, p store.PageSessionsParams) ([]store.Session, error) {
		p.Key = string(id)
		return tx.PageSessionsOfProject(ctx, store.PageSessionsOfProjectParams(p))
	}
}

// merge gives the first rows of all ways together, each row once.
func merge(ctx context.Context, ways []way, p store.PageSessionsParams) ([]store.Session, error) {
	var all []store.Session
	for _, w := range ways {
		rows, err := w(ctx, p)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	if len(ways) > 1 {
		slices.SortFunc(all, func(a, b store.Session) int {
			return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), cmp.Compare(b.ID, a.ID))
		})
		all = slices.CompactFunc(all, func(a, b store.Session) bool { return a.ID == b.ID })
	}
	return all[:min(len(all), int(p.Page))], nil
}
