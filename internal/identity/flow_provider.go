package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/sessctl/sess/internal/identity/idp"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// FlowEnd says where a browser goes when somebody proved who they are.
type FlowEnd struct {
	URL    string // of the client's port; empty: nowhere, the client asks
	Client string
	Name   string // who it was
	Note   string // what they should know; empty: nothing
	Code   string // id of the flow that goes on with a code of the second factor; empty: it is over
}

// SendFlow sends the browser of a flow on to a provider: the address to go to.
func (s *Service) SendFlow(ctx context.Context, b Browser, id, name string) (string, error) {
	var row store.IDP
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		f, err := s.loadFlow(ctx, tx, b, id)
		if err != nil {
			return err
		}
		row, err = tx.GetIDPByName(ctx, f.Org, name)
		if err != nil && isNotFound(err) {
			return errNoIDP()
		}
		return err
	})
	if err != nil {
		return "", err
	}
	p, err := s.provider(row)
	if err != nil {
		return "", err
	}
	state := randomText()
	sent, err := p.Begin(ctx, b.start(state))
	if err != nil {
		return "", s.explainIDP(ctx, row, err)
	}
	err = s.step(ctx, b, id, true, func(tx *store.Tx, f store.LoginFlow) (int64, error) {
		if f.Org != row.Org {
			return 0, nil
		}
		return tx.SendLoginFlow(ctx, store.SendLoginFlowParams{
			ID: id, Browser: b.hash(), IDP: row.ID, State: sess.HashToken(state), Request: sent.Request,
		})
	})
	return sent.URL, err
}

// start derives what goes to a provider beside the state: the same browser works it out again when it comes back.
func (b Browser) start(state string) idp.Start {
	return idp.Start{State: state, Nonce: b.derive("nonce", state), Verifier: b.derive("verifier", state)}
}

// explainIDP logs why a provider could not be asked, for the box's owner, and gives what anybody may see: what is the matter
// with the provider is for admins, who try it.
func (s *Service) explainIDP(ctx context.Context, row store.IDP, err error) error {
	s.log.WarnContext(ctx, "identity provider", "org", string(row.Org), "idp", string(row.ID), "err", err)
	e := sess.Public(err)
	if e.Code == sess.CodeUnavailable {
		return sess.New(e.Code, "the identity provider "+row.Name+" gives no good answer at the moment",
			"try again in a moment; an admin of the organisation sees why: sessctl idp test "+row.Name)
	}
	return e
}

// FromProvider takes what a browser brought back from a provider of kind oidc or github: query is that of the address it
// was sent to.
func (s *Service) FromProvider(ctx context.Context, b Browser, id sess.IDPID, query url.Values) (FlowEnd, error) {
	f, row, err := s.expected(ctx, id, query.Get("state"))
	if err == nil && (b.Cookie == "" || !sameHash(f.Browser, b.hash())) {
		err = sess.New(sess.CodeNotFound, "this login was begun in another browser", "begin again: sessctl login")
	}
	if err != nil {
		return FlowEnd{}, s.refuseFlow(ctx, b, f.Org, err)
	}
	if code := query.Get("error"); code != "" {
		return FlowEnd{}, s.refuseFlow(ctx, b, f.Org, sess.New(sess.CodeDenied, "the identity provider refused the login: "+clip(code, maxName), "begin again: sessctl login"))
	}
	p, err := s.provider(row)
	if err != nil {
		return FlowEnd{}, err
	}
	person, err := p.Finish(ctx, idp.Back{Start: b.start(query.Get("state")), Code: query.Get("code"), Issuer: query.Get("iss")})
	if err != nil {
		return FlowEnd{}, s.refuseFlow(ctx, b, f.Org, s.explainIDP(ctx, row, err))
	}
	return s.takeIn(ctx, b, f, row, person)
}

// refuseFlow has the refusal of somebody whom a provider sent recorded.
func (s *Service) refuseFlow(ctx context.Context, b Browser, org sess.OrgID, err error) error {
	if e := asRefusal(err); e != nil {
		return s.refuse(ctx, org, b.Addr, policy.IDPLogin, "", e)
	}
	return err
}

// expected finds the flow that waits for this state from this provider, once.
func (s *Service) expected(ctx context.Context, id sess.IDPID, state string) (f store.LoginFlow, row store.IDP, err error) {
	if state == "" || len(state) > maxState {
		return f, row, errFlowOver()
	}
	err = s.db.Write(ctx, func(tx *store.Tx) (err error) {
		if f, err = tx.GetLoginFlowByState(ctx, sess.HashToken(state)); err != nil {
			if isNotFound(err) {
				return errFlowOver()
			}
			return fmt.Errorf("look for login: %w", err)
		}
		if f.IDP != id || f.ExpiresAt <= store.Micros(s.now()) || f.DoneAt != nil || f.DeniedAt != nil {
			return errFlowOver()
		}
		if row, err = tx.GetIDP(ctx, f.Org, id); err != nil {
			return fmt.Errorf("load identity provider: %w", err)
		}
		n, err := tx.TakeLoginFlowState(ctx, f.ID, f.State)
		if err == nil && n == 0 {
			return errFlowOver()
		}
		return err
	})
	return f, row, err
}

// FromSAML takes a SAML response. It comes by a POST from the provider's page, with which the browser sends no cookie: the
// person in it is kept, and the browser that brought it gets a handle to show, together with its cookie, to FinishSAML.
// Both are needed: the cookie alone would let who began a login have it ended by somebody else's browser, and the handle
// alone would let who has a response log somebody else's browser in.
func (s *Service) FromSAML(ctx context.Context, b Browser, id sess.IDPID, state string, response []byte) (flow, handle string, err error) {
	f, row, err := s.expected(ctx, id, state)
	if err != nil {
		return "", "", s.refuseFlow(ctx, b, f.Org, err)
	}
	p, err := s.provider(row)
	if err != nil {
		return "", "", err
	}
	person, err := p.Finish(ctx, idp.Back{Response: response, Request: f.Request})
	if err != nil {
		return "", "", s.refuseFlow(ctx, b, f.Org, s.explainIDP(ctx, row, err))
	}
	text, err := json.Marshal(person)
	if err != nil {
		return "", "", fmt.Errorf("keep person: %w", err)
	}
	handle = randomText()
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.HoldLoginFlow(ctx, f.ID, sess.HashToken(handle), string(text))
		if err == nil && n == 0 {
			return errFlowOver()
		}
		return err
	})
	return f.ID, handle, err
}

// FinishSAML ends a flow with the person of the SAML response that this browser brought.
func (s *Service) FinishSAML(ctx context.Context, b Browser, id, handle string) (FlowEnd, error) {
	var f store.LoginFlow
	var row store.IDP
	err := s.step(ctx, b, id, true, func(tx *store.Tx, got store.LoginFlow) (n int64, err error) {
		f = got
		if handle == "" || !sameHash(f.Handle, sess.HashToken(handle)) {
			return 0, nil
		}
		if row, err = tx.GetIDP(ctx, f.Org, f.IDP); err != nil {
			return 0, err
		}
		return tx.TakeLoginFlowPerson(ctx, id, f.Handle)
	})
	if err != nil {
		return FlowEnd{}, s.refuseFlow(ctx, b, f.Org, err)
	}
	var person idp.Person
	if err := json.Unmarshal([]byte(f.Person), &person); err != nil {
		return FlowEnd{}, fmt.Errorf("read person: %w", err)
	}
	return s.takeIn(ctx, b, f, row, person)
}

// asRefusal gives the part of err that is a refusal and no failure of ours.
func asRefusal(err error) *sess.Error {
	if e, ok := errors.AsType[*sess.Error](err); ok && e.Code != sess.CodeUnavailable && e.Code != sess.CodeInternal {
		return e
	}
	return nil
}
