package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/identity/idp"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// maxIDPs bounds the providers of one organisation.
const maxIDPs = 20

// CreateIDP sets up an identity provider. It is not asked anything yet: TestIDP does.
func (s *Service) CreateIDP(ctx context.Context, who sess.Principal, in api.IDPIn) (api.IDP, error) {
	row := store.IDP{
		Org: who.Org, ID: sess.NewIDPID(), Name: in.Body.Name, Kind: in.Body.Kind, ValidSeconds: in.Body.ValidSeconds,
	}
	err := s.gate.Do(ctx, who, policy.IDPCreate, policy.Org(who.Org), func(tx *gate.Tx) error {
		if !instanceName.MatchString(row.Name) {
			return sess.New(sess.CodeInvalid, fmt.Sprintf("%q can't be the name of an identity provider", clip(row.Name, maxName)),
				"use up to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit")
		}
		if err := s.fillIDP(&row, in.Body.Settings, in.Body.Secret); err != nil {
			return err
		}
		if err := tx.Lock(ctx, "idps "+string(who.Org)); err != nil {
			return err
		}
		others, err := tx.ListIDPs(ctx, who.Org, maxIDPs)
		if err != nil {
			return fmt.Errorf("count identity providers: %w", err)
		}
		if len(others) >= maxIDPs {
			return sess.New(sess.CodeLimited, fmt.Sprintf("there are %d identity providers already", maxIDPs), "remove one first: sessctl idp remove NAME")
		}
		row.CreatedAt = store.Micros(s.now())
		row.UpdatedAt = row.CreatedAt
		n, err := tx.CreateIDP(ctx, store.CreateIDPParams{
			Org: row.Org, ID: row.ID, Name: row.Name, Kind: row.Kind, Settings: row.Settings, Secret: row.Secret,
			ValidSeconds: row.ValidSeconds, CreatedAt: row.CreatedAt,
		})
		if err != nil {
			return fmt.Errorf("create identity provider: %w", err)
		}
		if n == 0 {
			return sess.New(sess.CodeConflict, fmt.Sprintf("there is an identity provider named %s already", row.Name), "take another name, or change it: sessctl idp set "+row.Name)
		}
		tx.On(idpResource(row))
		describeIDP(tx, row.Kind, in.Body.Settings)
		return changeRules(ctx, tx) // policies speak of providers by their names
	})
	if err != nil {
		return api.IDP{}, err
	}
	return s.idpView(row, 0)
}

// fillIDP checks settings and secret, and puts them into row, the secret sealed.
func (s *Service) fillIDP(row *store.IDP, settings api.IDPSettings, secret string) error {
	if _, err := idp.New(s.idpConfig(*row, settings, secret)); err != nil {
		return err //nolint:wrapcheck // it says everything
	}
	text, err := json.Marshal(settings)
	if err != nil {
		return fmt.Errorf("write settings of identity provider: %w", err)
	}
	row.Settings, row.Secret = string(text), ""
	if secret != "" {
		row.Secret = s.sealer.seal([]byte(secret), sealContext(*row))
	}
	return nil
}

// sealContext says whose secret it is.
func sealContext(row store.IDP) string { return "idp secret " + string(row.Org) + " " + string(row.ID) }

// idpConfig gives what an adapter is made of.
func (s *Service) idpConfig(row store.IDP, settings api.IDPSettings, secret string) idp.Config {
	at := func(what string) *url.URL { return s.publicURL.JoinPath("idp", string(row.ID), what) }
	return idp.Config{
		Kind: row.Kind, Settings: settings, Secret: secret, Callback: at("callback"), ACS: at("acs"), Metadata: at("metadata"),
		Client: s.idpClient, Now: s.now, AllowHTTP: s.idpAllowHTTP,
	}
}

// provider makes the adapter of a row.
func (s *Service) provider(row store.IDP) (idp.Provider, error) {
	settings, err := idpSettings(row)
	if err != nil {
		return nil, err
	}
	secret, err := s.idpSecret(row)
	if err != nil {
		return nil, err
	}
	return idp.New(s.idpConfig(row, settings, secret)) //nolint:wrapcheck // it says everything
}

func (s *Service) idpSecret(row store.IDP) (string, error) {
	if row.Secret == "" {
		return "", nil
	}
	plain, err := s.sealer.open(row.Secret, sealContext(row))
	return string(plain), err
}

func idpSettings(row store.IDP) (settings api.IDPSettings, err error) {
	if err := json.Unmarshal([]byte(row.Settings), &settings); err != nil {
		return settings, fmt.Errorf("read settings of identity provider: %w", err)
	}
	return settings, nil
}

// idpView gives a provider as admins see it.
func (s *Service) idpView(row store.IDP, accounts int64) (api.IDP, error) {
	settings, err := idpSettings(row)
	if err != nil {
		return api.IDP{}, err
	}
	c := s.idpConfig(row, settings, "")
	out := api.IDP{
		ID: row.ID, Name: row.Name, Kind: row.Kind, Settings: settings, HasSecret: row.Secret != "", ValidSeconds: row.ValidSeconds,
		CreatedAt: store.Time(row.CreatedAt), UpdatedAt: store.Time(row.UpdatedAt), Accounts: accounts,
	}
	if row.Kind == idp.SAML {
		out.ACSURL, out.MetadataURL = c.ACS.String(), c.Metadata.String()
	} else {
		out.RedirectURL = c.Callback.String()
	}
	return out, nil
}

func idpResource(row store.IDP) policy.Resource {
	return policy.Resource{Org: row.Org, Type: policy.TypeIDP, ID: string(row.ID), Name: row.Name}
}

// describeIDP writes down whom the organisation trusts from now on.
func describeIDP(tx *gate.Tx, kind string, c api.IDPSettings) {
	tx.Detail("kind", kind)
	for key, value := range map[string]string{
		"issuer": c.Issuer, "client_id": c.ClientID, "metadata_url": c.MetadataURL, "api_url": c.APIURL,
		"allow_orgs": strings.Join(c.AllowOrgs, " "), "allow_domains": strings.Join(c.AllowDomains, " "),
	} {
		if value != "" {
			tx.Detail(key, clip(value, maxText))
		}
	}
}

// ListIDPs lists the identity providers, newest first.
func (s *Service) ListIDPs(ctx context.Context, who sess.Principal) (api.IDPList, error) {
	out := api.IDPList{Items: []api.IDP{}}
	err := s.gate.Read(ctx, who, policy.IDPList, policy.Org(who.Org), func(tx *gate.Tx) error {
		rows, err := tx.ListIDPs(ctx, who.Org, maxIDPs)
		if err != nil {
			return fmt.Errorf("list identity providers: %w", err)
		}
		for _, r := range rows {
			view, err := s.idpView(store.IDP{
				Org: r.Org, ID: r.ID, Name: r.Name, Kind: r.Kind, Settings: r.Settings, Secret: r.Secret, ValidSeconds: r.ValidSeconds,
				CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
			}, r.Accounts)
			if err != nil {
				return err
			}
			out.Items = append(out.Items, view)
		}
		return nil
	})
	if err != nil {
		return api.IDPList{}, err
	}
	return out, nil
}

// findIDP finds a provider by name or id, for the gate, and keeps it in into.
func findIDP(ctx context.Context, org sess.OrgID, ref string, into *store.IDP) gate.Find {
	return gate.Find{Type: policy.TypeIDP, Name: clip(ref, maxName), By: func(tx *gate.Tx) (policy.Resource, error) {
		var err error
		if sess.ValidID("idp", ref) {
			*into, err = tx.GetIDP(ctx, org, sess.IDPID(ref))
		} else {
			*into, err = tx.GetIDPByName(ctx, org, ref)
		}
		return idpResource(*into), err
	}}
}

// GetIDP shows an identity provider.
func (s *Service) GetIDP(ctx context.Context, who sess.Principal, in api.IDPRef) (api.IDP, error) {
	var row store.IDP
	var out api.IDP
	err := s.gate.ReadFind(ctx, who, policy.IDPShow, findIDP(ctx, who.Org, in.IDP, &row), func(tx *gate.Tx) error {
		rows, err := tx.ListIDPs(ctx, who.Org, maxIDPs)
		if err != nil {
			return fmt.Errorf("count accounts: %w", err)
		}
		i := slices.IndexFunc(rows, func(r store.ListIDPsRow) bool { return r.ID == row.ID })
		out, err = s.idpView(row, rows[max(i, 0)].Accounts)
		return err
	})
	if err != nil {
		return api.IDP{}, err
	}
	return out, nil
}

// PatchIDP changes an identity provider. Its name and kind stay what they are.
func (s *Service) PatchIDP(ctx context.Context, who sess.Principal, in api.IDPPatchIn) (api.IDP, error) {
	var row store.IDP
	err := s.gate.DoFind(ctx, who, policy.IDPChange, findIDP(ctx, who.Org, in.IDP, &row), func(tx *gate.Tx) error {
		settings, err := idpSettings(row)
		if err != nil {
			return err
		}
		secret, err := s.idpSecret(row)
		if err != nil && in.Body.Secret == nil { // a new one replaces one that can't be read any more
			return err
		}
		if in.Body.Settings != nil {
			settings = *in.Body.Settings
		}
		if in.Body.Secret != nil {
			secret = *in.Body.Secret
			tx.Detail("secret", "changed")
		}
		if in.Body.ValidSeconds != nil {
			row.ValidSeconds = *in.Body.ValidSeconds
			tx.Detail("valid_seconds", fmt.Sprint(row.ValidSeconds))
		}
		if err := s.fillIDP(&row, settings, secret); err != nil {
			return err
		}
		row.UpdatedAt = store.Micros(s.now())
		if _, err := tx.UpdateIDP(ctx, store.UpdateIDPParams{
			Org: row.Org, ID: row.ID, Settings: row.Settings, Secret: row.Secret, ValidSeconds: row.ValidSeconds, UpdatedAt: row.UpdatedAt,
		}); err != nil {
			return fmt.Errorf("change identity provider: %w", err)
		}
		describeIDP(tx, row.Kind, settings)
		return nil
	})
	if err != nil {
		return api.IDP{}, err
	}
	return s.idpView(row, 0)
}

// RemoveIDP removes an identity provider. Nobody vouches any more for those it sent: their logins end, and they are
// deactivated, which an admin can take back for each.
func (s *Service) RemoveIDP(ctx context.Context, who sess.Principal, in api.IDPRef) error {
	var row store.IDP
	var ended []sess.LoginID
	err := s.gate.DoFind(ctx, who, policy.IDPRemove, findIDP(ctx, who.Org, in.IDP, &row), func(tx *gate.Tx) error {
		return s.keepAdmin(ctx, tx, func() (err error) {
			ended, err = s.removeIDP(ctx, tx, row)
			return err
		})
	})
	if err != nil {
		return err
	}
	for _, id := range ended {
		s.revoked(ctx, who.Org, string(id))
	}
	return nil
}

// removeIDP removes a provider, and gives the logins that end.
func (s *Service) removeIDP(ctx context.Context, tx *gate.Tx, row store.IDP) ([]sess.LoginID, error) {
	now := store.Micros(s.now())
	ended, err := tx.RevokeLoginsOfIDP(ctx, row.Org, row.ID, &now)
	if err != nil {
		return nil, fmt.Errorf("end logins: %w", err)
	}
	users, err := tx.DeactivateMembersOfIDP(ctx, row.Org, row.ID)
	if err != nil {
		return nil, fmt.Errorf("deactivate members: %w", err)
	}
	if _, err := tx.DeleteIDPAccounts(ctx, row.Org, row.ID); err != nil {
		return nil, fmt.Errorf("forget accounts: %w", err)
	}
	if _, err := tx.DeleteIDP(ctx, row.Org, row.ID); err != nil {
		return nil, fmt.Errorf("remove identity provider: %w", err)
	}
	tx.Detail("deactivated", fmt.Sprint(len(users)))
	return ended, nil
}

// TestIDP tries a provider as far as that goes without a person.
func (s *Service) TestIDP(ctx context.Context, who sess.Principal, in api.IDPRef) (api.IDPTestOut, error) {
	var row store.IDP
	var p idp.Provider
	err := s.gate.ReadFind(ctx, who, policy.IDPTest, findIDP(ctx, who.Org, in.IDP, &row), func(*gate.Tx) (err error) {
		p, err = s.provider(row)
		return err
	})
	if err != nil {
		return api.IDPTestOut{}, err
	}
	found, err := p.Check(ctx)
	if e, ok := errors.AsType[*sess.Error](err); ok { // what is wrong there is the answer
		return api.IDPTestOut{Problem: e.Message, Hint: e.Hint, Findings: []string{}}, nil
	}
	if err != nil {
		return api.IDPTestOut{}, fmt.Errorf("try identity provider: %w", err)
	}
	return api.IDPTestOut{OK: true, Findings: found}, nil
}

// IDPMetadata gives our SAML document for a provider, which is no secret.
func (s *Service) IDPMetadata(ctx context.Context, id sess.IDPID) ([]byte, error) {
	var row store.IDP
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		row, err = tx.FindIDP(ctx, id)
		return err
	})
	if err != nil && isNotFound(err) || err == nil && row.Kind != idp.SAML {
		return nil, sess.New(sess.CodeNotFound, "there is no such SAML provider", "sessctl idp show NAME shows its address")
	}
	if err != nil {
		return nil, fmt.Errorf("look for identity provider: %w", err)
	}
	return idp.ServiceMetadata(s.idpConfig(row, api.IDPSettings{}, "")) //nolint:wrapcheck // it says everything
}

// AnyIDP says whether a browser may be needed to log in to this server.
func (s *Service) AnyIDP(ctx context.Context) (bool, error) {
	var ids []sess.IDPID
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		ids, err = tx.AnyIDP(ctx)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look for identity providers: %w", err)
	}
	return len(ids) > 0, nil
}
