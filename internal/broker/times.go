package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	// warnBefore is how long before an end its person is told, or half the time that there is.
	warnBefore = time.Minute
	// loginsEvery is how often is looked until when logins are valid: admins change that.
	loginsEvery = 5 // ticks
)

// clocked is an end that the clock brings, by a control.
type clocked int

// The ends by controls.
const (
	clockIdle clocked = iota
	clockMax
	clockLogin
	clocks // how many there are
)

// held is what the clock has to know of a session.
type held struct {
	text      string // the column that by was read of
	by        sess.Effective
	tty       bool
	key       bool      // started by an API key
	started   time.Time // zero: not yet
	activeAt  time.Time // when something was typed, or moved, last
	counted   uint64    // by the relay, when that was
	ownAt     time.Time // when its owner typed something last; zero: never, here
	own       uint64    // by the relay, when that was
	loginEnds time.Time // zero: not known, or never
	warned    [clocks]bool
}

// note takes over what a row says.
func (h *held) note(r store.Session, now time.Time) {
	if h.text != r.Controls {
		h.text, h.by = r.Controls, controls(r)
	}
	h.tty, h.key = r.Tty == 1, r.Credential == sess.CredentialKey
	if r.StartedAt != nil && h.started.IsZero() {
		h.started = store.Time(*r.StartedAt)
		if now.After(h.activeAt) {
			h.activeAt = now
		}
	}
}

// counts takes over how much passed in the session; less than before is a new count, from 0.
func (h *held) counts(n uint64, now time.Time) {
	if n > h.counted || n < h.counted && n > 0 {
		h.activeAt, h.warned[clockIdle] = now, false
	}
	h.counted = n
}

// countsOwn takes over how much of that the owner typed.
func (h *held) countsOwn(n uint64, now time.Time) {
	if n != h.own && n > 0 {
		h.ownAt = now
	}
	h.own = n
}

// ends gives when a control ends the session; zero: it does not. warn is how long before its person is told.
func (h *held) ends(c clocked) (at time.Time, warn time.Duration) {
	switch limit := h.by; {
	case h.started.IsZero():
	case c == clockIdle && limit.Idle() > 0:
		return h.activeAt.Add(limit.Idle()), min(warnBefore, limit.Idle()/2)
	case c == clockMax && limit.Longest() > 0:
		return h.started.Add(limit.Longest()), min(warnBefore, limit.Longest()/2)
	case c == clockLogin && limit.EndWithLogin:
		return h.loginEnds, warnBefore
	}
	return time.Time{}, 0
}

// credential is what the session was started by, in words.
func (h *held) credential() string {
	if h.key {
		return "API key"
	}
	return "login"
}

// ending gives the end that a control brings.
func (h *held) ending(c clocked) ending {
	e := ending{stop: true, soft: true}
	switch c {
	case clockIdle:
		e.reason, e.rules = sess.EndIdle, h.by.Rule(sess.ControlIdle)
		e.message = fmt.Sprintf("%s for %s, the limit of %s", h.silence(), sess.FormatDuration(h.by.Idle()), h.by.Source(sess.ControlIdle))
	case clockMax:
		e.reason, e.rules = sess.EndMaxDuration, h.by.Rule(sess.ControlMax)
		e.message = fmt.Sprintf("%s is the limit of %s", sess.FormatDuration(h.by.Longest()), h.by.Source(sess.ControlMax))
	case clockLogin, clocks:
		e.reason, e.rules = sess.EndLoginExpired, h.by.Rule(sess.ControlEndWithLogin)
		e.message = fmt.Sprintf("%s has sessions end with their %s", h.by.Source(sess.ControlEndWithLogin), h.credential())
	}
	return e
}

func (h *held) silence() string {
	if h.tty {
		return "nothing was typed"
	}
	return "nothing was sent"
}

// warning tells the person of an end that is near, in a line.
func (h *held) warning(c clocked, left time.Duration) string {
	in := fmt.Sprintf("this session ends in %d s", int((left+time.Second-1)/time.Second))
	switch c {
	case clockIdle:
		stay := "you press a key"
		if !h.tty {
			stay = "something is sent"
		}
		return fmt.Sprintf("%s unless %s: it is idle (%s, %s)", in, stay, sess.FormatDuration(h.by.Idle()), h.by.Source(sess.ControlIdle))
	case clockMax:
		return fmt.Sprintf("%s: it may run for %s (%s)", in, sess.FormatDuration(h.by.Longest()), h.by.Source(sess.ControlMax))
	case clockLogin, clocks:
	}
	return fmt.Sprintf("%s: its %s runs out (%s)", in, h.credential(), h.by.Source(sess.ControlEndWithLogin))
}

// clockEnd is an end that has come, as it was seen.
type clockEnd struct {
	life

	by clocked
}

// notice is a warning to be told.
type notice struct {
	id   sess.SessionID
	text string
}

// due gives the sessions whose time is up, and the warnings that are to be told now.
func (l *lives) due(now time.Time) (ends []clockEnd, notices []notice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.all {
		if x.state != sess.StateActive && x.state != sess.StateDetached {
			continue
		}
		for c := range clocks {
			at, warn := x.ends(c)
			switch left := at.Sub(now); {
			case at.IsZero():
			case left <= 0:
				ends = append(ends, clockEnd{*x, c})
			case left <= warn && x.client && !x.warned[c]:
				x.warned[c] = true
				notices = append(notices, notice{x.id, x.warning(c, left)})
			}
		}
	}
	return ends, notices
}

// count notes what passed in the sessions, as relay tells.
func (l *lives) count(relay Relay, now time.Time) {
	for _, x := range l.list() {
		if x.state == sess.StateEnded || x.started.IsZero() {
			continue
		}
		l.countOne(relay, x.id, now)
	}
}

// countOne notes what passed in one session, and gives it as it is then.
func (l *lives) countOne(relay Relay, id sess.SessionID, now time.Time) (life, bool) {
	own, typed, moved := relay.Activity(id)
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.all[id]
	if x == nil {
		return life{}, false
	}
	if x.tty {
		moved = typed
	}
	x.counts(moved, now)
	x.countsOwn(own, now)
	return *x, true
}

// activity gives when something was last typed into a session, or sent if it is no terminal; false: it is not looked after
// here, or did not begin yet.
func (l *lives) activity(id sess.SessionID) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.all[id]
	if x == nil || x.started.IsZero() || x.state == sess.StateEnded {
		return time.Time{}, false
	}
	return x.activeAt, true
}

// endsWithLogin reports whether a session ends with its login.
func (l *lives) endsWithLogin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.all {
		if x.by.EndWithLogin && x.state != sess.StateEnded {
			return true
		}
	}
	return false
}

// loginEnds notes until when a session's login is valid.
func (l *lives) loginEnds(id sess.SessionID, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.all[id]; x != nil {
		if !at.Equal(x.loginEnds) {
			x.warned[clockLogin] = false
		}
		x.loginEnds = at
	}
}

// clock ends what the controls end by now, and warns of what they end soon.
func (s *Service) clock(ctx context.Context, now time.Time) error {
	if s.relay == nil {
		return nil
	}
	var errs []error
	if s.logins++; s.logins%loginsEvery == 0 {
		errs = append(errs, s.lookAtLogins(ctx))
	}
	s.lives.count(s.relay, now)
	ends, notices := s.lives.due(now)
	for _, n := range notices {
		s.wg.Go(func() { s.relay.Notice(n.id, n.text) }) // a client that takes nothing must not hold up the clock
	}
	for _, x := range ends {
		errs = append(errs, s.clockOut(ctx, x, now))
	}
	return errors.Join(errs...)
}

// clockOut ends a session whose time is up, if it still is.
func (s *Service) clockOut(ctx context.Context, was clockEnd, now time.Time) error {
	e := was.ending(was.by)
	e.who = sess.System(was.org)
	err := s.endIf(ctx, was.org, was.id, e, func(r *store.Session) (ending, error) {
		x, ok := s.lives.countOne(s.relay, was.id, now)
		if !ok || r.Node != s.node || r.State != sess.StateActive && r.State != sess.StateDetached {
			return e, errNotNow
		}
		x.note(*r, now)
		at, _ := x.ends(was.by)
		if at.IsZero() || at.After(now) {
			return e, errNotNow
		}
		return e, nil
	})
	if errors.Is(err, errNotNow) {
		return nil
	}
	return err
}

// lookAtLogins notes until when the logins and keys are valid by which sessions were started that end with them.
func (s *Service) lookAtLogins(ctx context.Context) error {
	if !s.lives.endsWithLogin() {
		return nil
	}
	var rows []store.ListCredentialsOfNodeRow
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		var err error
		rows, err = tx.ListCredentialsOfNode(ctx, s.node)
		return err
	})
	if err != nil {
		return fmt.Errorf("look at logins: %w", err)
	}
	var errs []error
	for _, r := range rows {
		at, err := validUntil(r)
		if err != nil { // settings of one organisation hold up no other
			errs = append(errs, err)
			continue
		}
		s.lives.loginEnds(r.ID, at)
	}
	return errors.Join(errs...)
}

// validUntil gives when the credential of a session runs out. That a login was not used for long ends none: who works in a
// session uses it.
func validUntil(r store.ListCredentialsOfNodeRow) (time.Time, error) {
	if r.RevokedAt > 0 {
		return store.Time(r.RevokedAt), nil
	}
	at := store.Time(r.ExpiresAt)
	life := time.Duration(r.ValidSeconds) * time.Second
	if life == 0 && r.Credential == sess.CredentialLogin {
		st, err := sess.ParseSettings(r.Settings)
		if err != nil {
			return at, fmt.Errorf("look at logins: %w", err)
		}
		life = st.Login()
	}
	if by := store.Time(r.CreatedAt).Add(life); life > 0 && by.Before(at) {
		at = by
	}
	return at, nil
}
