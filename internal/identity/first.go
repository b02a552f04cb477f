package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	inviteLife = 72 * time.Hour
	// firstName is what organisation and project are called that the first start makes.
	firstName = "default"
	// firstAdmin names the first admin until the e-mail address is known. No e-mail address or machine user looks like it.
	firstAdmin = "first admin"
	maxAdmins  = 100 // looked at
)

// Who made an invitation.
const (
	inviteJoin  = "join"  // an admin of the organisation: it never sets the password of somebody known
	inviteOwner = "owner" // the box's owner: it sets the password of whoever it is for
)

var errOtherStart = errors.New("another server made the organisation at the same time")

// FirstStart makes what an empty server needs: an organisation, a project, and the invitation of the first admin, whose
// token it returns. While nobody has accepted, each start voids the last invitation and returns a new one; after that it
// changes nothing and returns false.
func (s *Service) FirstStart(ctx context.Context) (token string, invited bool, err error) {
	for range 5 {
		token, invited, err = s.firstStart(ctx)
		if !errors.Is(err, errOtherStart) {
			break
		}
	}
	if err != nil {
		return "", false, fmt.Errorf("prepare first start: %w", err)
	}
	return token, invited, nil
}

func (s *Service) firstStart(ctx context.Context) (string, bool, error) {
	org, admins, err := s.firstOrg(ctx)
	if err != nil {
		return "", false, err
	}
	act, id, fresh := policy.InviteCreate, org.ID, org.ID == ""
	if fresh {
		act, id = policy.OrgCreate, sess.NewOrgID()
	}
	for _, a := range admins {
		if a.HasPassword == 1 {
			return "", false, nil
		}
	}
	token, err := sess.NewToken(sess.TokenInvite, s.pin)
	if err != nil {
		return "", false, err
	}
	on := policy.Org(id)
	on.Name = firstName
	err = s.gate.Do(ctx, sess.System(id), act, on, func(tx *gate.Tx) error {
		if fresh {
			made, err := s.createOrg(ctx, tx.Tx, id, firstName)
			if err != nil {
				return err
			}
			if !made {
				return errOtherStart
			}
		}
		user, err := s.firstAdmin(ctx, tx.Tx, id)
		if err != nil {
			return err
		}
		return s.invite(ctx, tx, id, user, token)
	})
	if err != nil {
		return "", false, err
	}
	return token, true, nil
}

// firstOrg gives the organisation of the first start, whatever it is called by now, or a zero one, and its admins.
func (s *Service) firstOrg(ctx context.Context) (org store.Org, admins []store.ListOrgAdminsRow, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if org, err = oldestOrg(ctx, tx); err != nil {
			return err
		}
		admins, err = tx.ListOrgAdmins(ctx, org.ID, maxAdmins)
		return err
	})
	if err != nil && isNotFound(err) {
		return store.Org{}, nil, nil
	}
	return org, admins, err
}

// createOrg makes an organisation with a project; false: the name is taken.
func (s *Service) createOrg(ctx context.Context, tx *store.Tx, id sess.OrgID, name string) (bool, error) {
	now := store.Micros(s.now())
	if err := freeOrgName(ctx, tx, name, id); err != nil {
		return false, err
	}
	n, err := tx.CreateOrg(ctx, id, name, now)
	if err != nil {
		return false, fmt.Errorf("create organisation: %w", err)
	}
	if n == 0 {
		return false, nil
	}
	if err := tx.CreateProject(ctx, id, sess.NewProjectID(), firstName, now); err != nil {
		return false, fmt.Errorf("create project: %w", err)
	}
	return true, nil
}

// firstAdmin finds the admin who has not accepted yet, or makes one.
func (s *Service) firstAdmin(ctx context.Context, tx *store.Tx, org sess.OrgID) (sess.UserID, error) {
	if err := tx.Lock(ctx, "admins "+string(org)); err != nil {
		return "", err
	}
	admins, err := tx.ListOrgAdmins(ctx, org, maxAdmins)
	if err != nil {
		return "", fmt.Errorf("list admins: %w", err)
	}
	for _, a := range admins {
		if a.HasPassword == 0 {
			return a.UserID, nil
		}
	}
	return s.newAdmin(ctx, tx, org, sess.NewUserID(), firstAdmin)
}

// newAdmin makes a member with the role org-admin.
func (s *Service) newAdmin(ctx context.Context, tx *store.Tx, org sess.OrgID, user sess.UserID, name string) (sess.UserID, error) {
	now := store.Micros(s.now())
	n, err := tx.CreateMember(ctx, store.CreateMemberParams{Org: org, UserID: user, Kind: sess.UserLocal, Name: name, CreatedAt: now})
	if err != nil {
		return "", fmt.Errorf("create member: %w", err)
	}
	if n == 0 {
		return "", sess.New(sess.CodeConflict, fmt.Sprintf("there is a member named %s already", name), "")
	}
	return user, s.makeAdmin(ctx, tx, org, user)
}

func (s *Service) makeAdmin(ctx context.Context, tx *store.Tx, org sess.OrgID, user sess.UserID) error {
	if _, err := tx.CreateGrant(ctx, store.CreateGrantParams{Org: org, ID: sess.NewGrantID(), UserID: user, Role: sess.RoleAdmin, CreatedAt: store.Micros(s.now())}); err != nil {
		return fmt.Errorf("grant role: %w", err)
	}
	return nil
}

// invite voids the user's invitations and makes a new one of token, by the box's owner.
func (s *Service) invite(ctx context.Context, tx *gate.Tx, org sess.OrgID, user sess.UserID, token string) error {
	_, err := s.newInvite(ctx, tx, org, user, token, inviteOwner, "")
	return err
}

// newInvite voids the user's invitations and makes a new one of token. It gives its id. mail is what becomes of the mail.
func (s *Service) newInvite(ctx context.Context, tx *gate.Tx, org sess.OrgID, user sess.UserID, token, kind, mail string) (string, error) {
	now := s.now()
	if err := tx.VoidInvites(ctx, org, user, store.Micros(now)); err != nil {
		return "", fmt.Errorf("void invitations: %w", err)
	}
	// An invitation has no id of its own kind: it is found by its hash, and named in the log only.
	id := strings.Replace(string(sess.NewTokenID()), "tok_", "inv_", 1)
	if err := tx.CreateInvite(ctx, store.CreateInviteParams{
		Org: org, ID: id, Hash: sess.HashToken(token), UserID: user, CreatedAt: store.Micros(now), ExpiresAt: store.Micros(now.Add(inviteLife)),
		Kind: kind, Mail: mail,
	}); err != nil {
		return "", fmt.Errorf("create invitation: %w", err)
	}
	tx.Detail("invite", id)
	tx.Detail("user", string(user))
	return id, nil
}

// AdminLink makes a new invitation for an org admin, for the box's owner at the machine: whoever opens it sets a new
// password, and the account's logins end. Earlier invitations of the account are void. An empty name means the
// organisation that the first start made; an empty email the only
// admin there is; an address that nobody has becomes a new admin; a member who is none becomes one; a member who is not
// active becomes active. Their second factor is asked for still, unless dropFactors has it removed. It returns the token, and the e-mail address (empty: the first admin, who will give it).
func (s *Service) AdminLink(ctx context.Context, name, email string, dropFactors bool) (token, who string, err error) {
	if email != "" {
		if email, err = normalEmail(email); err != nil {
			return "", "", err
		}
	}
	org, err := s.boxOrg(ctx, name)
	if err != nil {
		return "", "", err
	}
	if token, err = sess.NewToken(sess.TokenInvite, s.pin); err != nil {
		return "", "", err
	}
	err = s.gate.Do(ctx, sess.BoxOwner(org.ID), policy.InviteCreate, policy.Org(org.ID), func(tx *gate.Tx) error {
		if err := tx.Lock(ctx, "admins "+string(org.ID)); err != nil {
			return err
		}
		user, name, err := s.adminFor(ctx, tx.Tx, org.ID, email)
		if err != nil {
			return err
		}
		if who = name; name == firstAdmin {
			who = ""
		}
		if dropFactors {
			if err := dropFactorsOf(ctx, tx, org.ID, user); err != nil {
				return err
			}
			tx.Detail("factors_removed", "yes")
		}
		return s.invite(ctx, tx, org.ID, user, token)
	})
	if err != nil {
		return "", "", err
	}
	return token, who, nil
}

// invitedAdmin makes an org admin who is a member once they accept.
func (s *Service) invitedAdmin(ctx context.Context, tx *store.Tx, org sess.OrgID, user sess.UserID, email string) error {
	if err := s.putInvited(ctx, tx, org, user, email); err != nil {
		return err
	}
	return s.makeAdmin(ctx, tx, org, user)
}

// adminFor finds or makes the active admin with that e-mail address; any address, when it is empty and there is one.
func (s *Service) adminFor(ctx context.Context, tx *store.Tx, org sess.OrgID, email string) (sess.UserID, string, error) {
	if email == "" {
		return s.onlyAdmin(ctx, tx, org)
	}
	m, err := tx.GetMemberByName(ctx, org, email)
	switch {
	case err == nil && m.Kind == sess.UserLocal:
		if _, err := tx.SetMemberActive(ctx, org, m.UserID, 1); err != nil {
			return "", "", fmt.Errorf("activate member: %w", err)
		}
		return m.UserID, email, s.makeAdmin(ctx, tx, org, m.UserID)
	case err == nil:
		return "", "", sess.New(sess.CodeConflict, email+" is a machine user", "")
	case !isNotFound(err):
		return "", "", fmt.Errorf("look for member: %w", err)
	}
	user := sess.NewUserID()
	p, err := tx.GetPersonByEmail(ctx, email)
	switch {
	case err == nil: // a person of another organisation
		user = p.ID
	case !isNotFound(err):
		return "", "", fmt.Errorf("look for person: %w", err)
	default:
		if _, err := tx.CreatePerson(ctx, user, email, "", store.Micros(s.now())); err != nil {
			return "", "", fmt.Errorf("create person: %w", err)
		}
	}
	// Pending until they accept by this very link: an invitation to another organisation must not open this one.
	return user, email, s.invitedAdmin(ctx, tx, org, user, email)
}

func (s *Service) onlyAdmin(ctx context.Context, tx *store.Tx, org sess.OrgID) (sess.UserID, string, error) {
	admins, err := tx.ListOrgAdmins(ctx, org, maxAdmins)
	if err != nil {
		return "", "", fmt.Errorf("list admins: %w", err)
	}
	switch len(admins) {
	case 0:
		user, err := s.newAdmin(ctx, tx, org, sess.NewUserID(), firstAdmin)
		return user, firstAdmin, err
	case 1:
		if _, err := tx.SetMemberActive(ctx, org, admins[0].UserID, 1); err != nil {
			return "", "", fmt.Errorf("activate member: %w", err)
		}
		return admins[0].UserID, admins[0].Name, nil
	}
	var names []string
	for _, a := range admins[:min(len(admins), 5)] {
		names = append(names, a.Name)
	}
	return "", "", sess.New(sess.CodeInvalid, "there are several admins: "+strings.Join(names, ", "), "say which: sess-server admin link --email ADDRESS")
}
