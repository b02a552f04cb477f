package broker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// maxReason bounds what a person gives as the reason of a start or an end, in bytes.
const maxReason = 500

// Limits on the sessions of one user on one server, so that nobody fills its disk and memory with starts. What people are
// given is for policy to say; these are far above it.
const (
	maxPending = 200 // started and not joined yet: parameters wait in the database
	maxLive    = 2000
)

// maxShownCommand bounds the arguments that lists show of a session, in bytes.
const maxShownCommand = 1024

// plan is a start request that was read, before anybody decided about it.
type plan struct {
	params  []byte
	tty     bool
	command string
	key     string
	tags    map[string]string
}

// Start starts a session: it decides, writes the session with a ticket for each side, and sends the offer to the agent.
// It does not wait for the agent: the client dials while the agent does.
//
// Unknown, not allowed, offline and malformed are sess.ErrNotFound, ErrDenied, ErrOffline and ErrInvalid.
func (s *Service) Start(ctx context.Context, who sess.Principal, in api.StartIn) (api.Ticket, error) {
	p, bad := readPlan(in) // megabytes of JSON are not for inside a transaction; who asks hears of it after the gate
	var inst store.Instance
	var on policy.Resource
	var row *store.Session
	var client, agent string
	find := gate.Find{Type: policy.TypeInstance, Name: in.Body.Instance, By: func(tx *gate.Tx) (policy.Resource, error) {
		var err error
		if inst, err = findInstance(ctx, tx, in.Body.Instance); err != nil {
			return policy.Resource{}, err
		}
		on, err = instanceResource(ctx, tx.Tx, inst)
		on.SessionKind, on.OSUser, on.Reason = in.Body.Kind, in.Body.OSUser, clean(in.Body.Reason, maxReason)
		return on, err
	}}
	err := s.gate.DoFind(ctx, who, policy.SessionStart, find, func(tx *gate.Tx) error {
		if bad != nil {
			return bad
		}
		if s.links.get(inst.ID) == nil {
			return s.offline(inst)
		}
		if live, pending := s.lives.of(who.Org, who.User); pending >= maxPending || live >= maxLive {
			return sess.New(sess.CodeLimited, fmt.Sprintf("you have %d sessions, of which %d wait to begin", live, pending),
				"wait for some to begin or end; sessctl session list --mine shows them")
		}
		row = s.newRow(who, inst, in, p)
		if ok, err := s.control(ctx, tx, row, on); err != nil || !ok {
			return err
		}
		if err := s.recordable(*row); err != nil {
			return err
		}
		tx.Session(row.ID)
		tx.Reason(row.Reason)
		tx.Detail("kind", string(row.Kind))
		if row.OSUser != "" {
			tx.Detail("os_user", row.OSUser)
		}
		for name, value := range p.tags {
			tx.Detail("tag."+name, value)
		}
		var err error
		client, agent, err = s.insert(ctx, tx.Tx, row, p)
		return err
	})
	if err != nil {
		return api.Ticket{}, err
	}
	s.lives.add(*row, s.now())
	s.offer(ctx, *row, p.params, agent)
	return s.ticket(*row, client, s.base), nil
}

func readPlan(in api.StartIn) (plan, error) {
	params, err := sess.DecodeParams(in.Body.Kind, in.Body.Params)
	if err != nil {
		return plan{}, err
	}
	if err := checkKey(in.Body.PublicKey); err != nil {
		return plan{}, err
	}
	if clean(in.Body.OSUser, maxHostText) != in.Body.OSUser {
		return plan{}, sess.New(sess.CodeInvalid, "the name of the user on the instance is not valid", "")
	}
	if err := sess.CheckTags(in.Body.Tags); err != nil {
		return plan{}, err
	}
	return plan{
		tags: in.Body.Tags, params: in.Body.Params, tty: params.TTY, command: shownCommand(params.Argv), key: encodeKey(in.Body.PublicKey),
	}, nil
}

// shownCommand is the JSON of the first arguments that fit maxShownCommand.
func shownCommand(argv []string) string {
	shown := []string{}
	left := maxShownCommand
	for _, a := range argv {
		if len(a) > left {
			shown = append(shown, cut(a, left)+"…")
			break
		}
		shown = append(shown, a)
		left -= len(a)
	}
	b, err := json.Marshal(shown)
	if err != nil { // strings always encode
		return "[]"
	}
	return string(b)
}

func (s *Service) newRow(who sess.Principal, i store.Instance, in api.StartIn, p plan) *store.Session {
	return &store.Session{
		Org: who.Org, ID: sess.NewSessionID(), Kind: in.Body.Kind, State: sess.StatePending, Instance: i.ID, InstanceName: i.Name,
		Project: i.Project, Hostname: i.Hostname, InstanceAddr: i.Address, UserID: who.User, UserName: who.Name,
		Credential: who.Credential, CredentialID: who.CredentialID, ClientAddr: who.Addr.String(), OSUser: in.Body.OSUser,
		Reason: clean(in.Body.Reason, maxReason), Command: p.command, Tty: flag(p.tty), OwnerKey: p.key, Node: s.node,
		CreatedAt: store.Micros(s.now()), Recording: sess.RecordingActive, MFAAt: store.MicrosPtr(who.MFAAt), IDP: sess.IDPID(who.IDP),
		Host: i.Host, AgentVersion: i.Version, Tags: tagText(p.tags),
	}
}

// insert writes a new session with its parameters and returns a ticket for each side.
func (s *Service) insert(ctx context.Context, tx *store.Tx, r *store.Session, p plan) (client, agent string, err error) {
	if err := tx.InsertSession(ctx, store.InsertSessionParams{
		Org: r.Org, ID: r.ID, Kind: r.Kind, Instance: r.Instance, InstanceName: r.InstanceName, Project: r.Project,
		Hostname: r.Hostname, InstanceAddr: r.InstanceAddr, UserID: r.UserID, UserName: r.UserName, Credential: r.Credential,
		CredentialID: r.CredentialID, ClientAddr: r.ClientAddr, OSUser: r.OSUser, Reason: r.Reason, Command: r.Command, Tty: r.Tty,
		OwnerKey: r.OwnerKey, Node: r.Node, GraceMS: r.GraceMS, CreatedAt: r.CreatedAt, MFAAt: r.MFAAt, IDP: r.IDP, LeaseMS: r.LeaseMS,
	}); err != nil {
		return "", "", fmt.Errorf("insert session: %w", err)
	}
	if err := saveControls(ctx, tx, r); err != nil {
		return "", "", err
	}
	if err := describe(ctx, tx, r, p.tags); err != nil {
		return "", "", err
	}
	if err := tx.InsertSessionParams(ctx, r.Org, r.ID, base64.StdEncoding.EncodeToString(p.params)); err != nil {
		return "", "", fmt.Errorf("insert session parameters: %w", err)
	}
	// The row was inserted as if both had been minted.
	if client, err = s.mint(ctx, tx, r, forClient(owner(*r), r.OwnerKey, false)); err != nil {
		return "", "", err
	}
	agent, err = s.mint(ctx, tx, r, forAgent())
	return client, agent, err
}

// ticket is the answer that lets a client join.
func (s *Service) ticket(r store.Session, token, url string) api.Ticket {
	return api.Ticket{
		Session: r.ID, StreamURL: url, Token: token, ExpiresAt: s.now().Add(sess.TicketTTL).UTC(), Server: s.name, Kind: r.Kind,
		Instance: r.InstanceName, GraceMS: r.GraceMS,
	}
}

// offline says that an instance can't be reached and since when.
func (s *Service) offline(i store.Instance) error {
	if i.LastSeen == nil {
		return sess.New(sess.CodeOffline, i.Name+" is offline: its agent has never connected", "start sess-agent there; its log says why it can't connect")
	}
	ago := s.now().Sub(store.Time(*i.LastSeen))
	return sess.New(sess.CodeOffline, fmt.Sprintf("%s is offline, last seen %s", i.Name, agoText(ago)),
		"check that the machine is up, that sess-agent runs there, and what its log says")
}

// agoText gives a duration as people say it.
func agoText(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", max(0, int(d/time.Second)))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d/time.Hour))
	default:
		return fmt.Sprintf("%d days ago", int(d/(24*time.Hour)))
	}
}

// paramsOf loads the bytes that open a session's stream.
func paramsOf(ctx context.Context, tx *store.Tx, r store.Session) ([]byte, error) {
	text, err := tx.GetSessionParams(ctx, r.Org, r.ID)
	if err != nil {
		return nil, fmt.Errorf("load session parameters: %w", err)
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("decode session parameters: %w", err)
	}
	return b, nil
}

func isNotFound(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, sess.ErrNotFound)
}
