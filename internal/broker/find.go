package broker

import (
	"context"
	"fmt"
	"strings"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// maxMatches bounds how many things a prefix is tried against.
const maxMatches = 20

// findInstance loads the instance that a person named: by name, id, or unique prefix of either. Of several that fit a
// prefix only those count that the principal may see. None is store.ErrNotFound.
func findInstance(ctx context.Context, tx *gate.Tx, name string) (store.Instance, error) {
	org := tx.Who().Org
	if !plainName(name) {
		return store.Instance{}, store.ErrNotFound
	}
	if i, err := tx.GetInstanceByName(ctx, org, name); err == nil || !isNotFound(err) {
		return i, err
	}
	if sess.ValidID("ins", name) {
		return tx.GetLiveInstance(ctx, org, sess.InstanceID(name))
	}
	see := tx.Scope(policy.InstanceShow, policy.TypeInstance)
	rows, err := tx.ListInstancesByPrefix(ctx, store.ListInstancesByPrefixParams{
		Org: org, EveryProject: flag(see.Org), Projects: projectList(see), Prefix: name, Page: maxMatches,
	})
	if err != nil {
		return store.Instance{}, fmt.Errorf("find instances by prefix: %w", err)
	}
	var fit []store.Instance
	var names []string
	for _, i := range rows {
		if !strings.HasPrefix(i.Name, name) && !strings.HasPrefix(string(i.ID), name) { // '_' is a wildcard to the database
			continue
		}
		on, err := instanceResource(ctx, tx.Tx, i)
		if err != nil {
			return store.Instance{}, err
		}
		if tx.Allowed(policy.InstanceShow, on) {
			fit, names = append(fit, i), append(names, i.Name)
		}
	}
	return only(fit, names, name)
}

// findSession loads the session that a person named: by id or unique prefix of it, with or without "ses_". None is
// store.ErrNotFound.
func findSession(ctx context.Context, tx *gate.Tx, ref string, show policy.Action, as func(store.Session) policy.Resource) (store.Session, error) {
	org := tx.Who().Org
	if sess.ValidID("ses", ref) {
		return tx.GetSession(ctx, org, sess.SessionID(ref))
	}
	pattern, ok := idPattern(ref)
	if !ok || ref == "" {
		return store.Session{}, store.ErrNotFound
	}
	rows, err := tx.ListSessionsByPrefix(ctx, org, pattern)
	if err != nil {
		return store.Session{}, fmt.Errorf("find sessions by prefix: %w", err)
	}
	var fit []store.Session
	var names []string
	for _, r := range rows {
		if tx.Allowed(show, as(r)) {
			fit, names = append(fit, r), append(names, string(r.ID))
		}
	}
	return only(fit, names, ref)
}

// only gives the one thing that fits.
func only[T any](fit []T, names []string, ref string) (T, error) {
	var none T
	switch len(fit) {
	case 0:
		return none, store.ErrNotFound
	case 1:
		return fit[0], nil
	}
	list := strings.Join(names[:min(len(names), 5)], ", ")
	if len(names) > 5 {
		list += ", …"
	}
	return none, sess.New(sess.CodeInvalid, fmt.Sprintf("%q fits more than one: %s", ref, list), "write more of the name")
}

// idPattern gives the LIKE pattern of the session ids that begin with prefix; false: none can.
func idPattern(prefix string) (string, bool) {
	rest := strings.TrimPrefix(prefix, "ses_")
	for _, c := range rest {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return "", false
		}
	}
	return "ses_" + rest + "%", true
}

// plainName reports whether s has only what names and ids are made of: no wildcard of the database but '_'.
func plainName(s string) bool {
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return s != ""
}

// projectList is the projects of a scope as queries take them.
func projectList(see policy.Scope) string {
	list := ","
	for _, id := range see.Projects {
		list += string(id) + ","
	}
	return list
}
