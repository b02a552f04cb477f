package identity_test

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

const bobEmail, bobPassword = "bob@example.com", "nine grey herons"

func inviteIn(email string, role sess.Role) api.InviteIn {
	var in api.InviteIn
	in.Body.Email, in.Body.Role = email, role
	return in
}

func (w *world) invite(admin sess.Principal, email string, role sess.Role) (api.InviteOut, string) {
	w.t.Helper()
	out := must[api.InviteOut](w, "invite")(w.InviteUser(w.t.Context(), admin, inviteIn(email, role)))
	return out, w.tokenOf(out.Link)
}

// tokenOf gives the token of a link.
func (w *world) tokenOf(link string) string {
	w.t.Helper()
	u, err := url.Parse(link)
	if err != nil || u.Fragment == "" {
		w.t.Fatalf("link %q", link)
	}
	return w.secret(u.Fragment)
}

// join invites somebody and has them accept; it gives the token of their login.
func (w *world) join(admin sess.Principal, email string, role sess.Role) string {
	w.t.Helper()
	_, token := w.invite(admin, email, role)
	return must[api.LoginOut](w, "accept")(w.accept(token, "", w.secret(bobPassword), home)).Token
}

// otherOrg makes a second organisation with an admin.
func (w *world) otherOrg() sess.Principal {
	w.t.Helper()
	eve := sess.Principal{Org: "org_other", Name: "eve@other.example", UserKind: sess.UserLocal, Addr: else1}
	storetest.Write(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.CreateOrg(ctx, eve.Org, "other", 1)
		return err
	})
	eve = w.member(eve.Org, eve.Name)
	storetest.Write(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.CreateGrant(ctx, store.CreateGrantParams{Org: eve.Org, ID: "gra_eve", UserID: eve.User, Role: sess.RoleAdmin, CreatedAt: 1})
		return err
	})
	return eve
}

func (w *world) change(who sess.Principal, old, next string) error {
	var in api.PasswordIn
	in.Body.Old, in.Body.New = old, next
	return w.saw(w.ChangePassword(w.t.Context(), who, in))
}

func user(name string) api.UserRef { return api.UserRef{User: name} }

func TestInvite(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		w.group(ada, "sre")
		w.pass(time.Second)
		in := inviteIn(" Bob@Example.com ", sess.RoleOperator)
		in.Body.Project, in.Body.Groups = "default", []string{"sre"}
		out := must[api.InviteOut](w, "invite")(w.InviteUser(t.Context(), ada, in))
		if out.User.State != api.UserInvited || out.User.Name != bobEmail || out.Known || out.Password != "" || !strings.Contains(out.Link, "/accept#sesi_") {
			t.Errorf("invited = %+v", out)
		}
		first := w.tokenOf(out.Link)
		// Invited again: the first link is void. What was given stays.
		_, token := w.invite(ada, bobEmail, "")
		_, err := w.accept(first, "", bobPassword, home)
		w.wantCode("accept of a replaced link", err, sess.CodeExpired)
		// Who has not accepted is nobody yet.
		bob := sess.Principal{Org: ada.Org, User: out.User.ID, Name: bobEmail, UserKind: sess.UserLocal, Addr: home}
		_, err = w.Whoami(t.Context(), bob)
		w.wantCode("whoami before accepting", err, sess.CodeDenied)
		look := api.InviteLookIn{}
		look.Body.Token = token
		if l := must[api.InviteLookOut](w, "look")(w.LookInvite(t.Context(), home, look)); l.Known || l.Email != bobEmail || l.OrgName != "default" {
			t.Errorf("look = %+v", l)
		}
		login := must[api.LoginOut](w, "accept")(w.accept(token, "", w.secret(bobPassword), home))
		me := must[api.WhoamiOut](w, "whoami")(w.Whoami(t.Context(), w.who(login.Token)))
		if len(me.Grants) != 1 || me.Grants[0].Project != "default" || len(me.Groups) != 1 {
			t.Errorf("whoami = %+v", me)
		}
		_, err = w.accept(token, "", "ten tall storks", home)
		w.wantCode("accept twice", err, sess.CodeExpired)
		_, err = w.InviteUser(t.Context(), ada, inviteIn(bobEmail, ""))
		w.wantCode("invite a member", err, sess.CodeConflict)
		l := must[api.UserList](w, "list")(w.ListUsers(t.Context(), ada, api.UsersIn{}))
		if len(l.Items) != 2 || l.Items[0].Name != bobEmail || l.Items[0].State != api.UserActive || l.Items[0].LastSeenAt == nil || len(l.Items[0].Groups) != 1 {
			t.Errorf("users = %+v", l.Items)
		}
		w.wantEvent(ada.Org, `"user:invite"`, bobEmail, `"role":"operator"`, adminEmail)
		w.pass(time.Hour)
		_, late := w.invite(ada, "late@example.com", "")
		w.pass(72*time.Hour + time.Second)
		_, err = w.accept(late, "", bobPassword, home)
		w.wantCode("accept after 72 h", err, sess.CodeExpired)
	})
}

func TestTemporaryPassword(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		in := inviteIn(bobEmail, sess.RoleReadOnly)
		in.Body.Temporary = true
		out := must[api.InviteOut](w, "invite")(w.InviteUser(t.Context(), ada, in))
		if out.Link != "" || !regexp.MustCompile(`^[a-z2-9]{4}(-[a-z2-9]{4}){3}$`).MatchString(out.Password) {
			t.Fatalf("invited = %+v", out)
		}
		login := must[api.LoginOut](w, "login")(w.login(bobEmail, w.secret(out.Password), home))
		if login.Stage != sess.StagePassword {
			t.Errorf("stage = %q", login.Stage)
		}
		bob := w.who(login.Token)
		_, err := w.ListInstances(t.Context(), bob, api.InstancesIn{})
		w.wantCode("list before the change", err, sess.CodeDenied)
		if me := must[api.WhoamiOut](w, "whoami")(w.Whoami(t.Context(), bob)); me.Stage != sess.StagePassword {
			t.Errorf("whoami = %+v", me)
		}
		w.wantCode("keep the temporary one", w.change(bob, out.Password, out.Password), sess.CodeInvalid)
		second := must[api.LoginOut](w, "second login")(w.login(bobEmail, out.Password, home))
		if err := w.change(bob, out.Password, w.secret(bobPassword)); err != nil {
			t.Fatal(err)
		}
		must[api.InstanceList](w, "list after the change")(w.ListInstances(t.Context(), w.who(login.Token), api.InstancesIn{}))
		_, err = w.Authenticate(t.Context(), second.Token, home)
		w.wantCode("the other login", err, sess.CodeUnauthenticated)
		_, err = w.login(bobEmail, out.Password, home)
		w.wantCode("login with the temporary one", err, sess.CodeUnauthenticated)
		if l := must[api.LoginOut](w, "login")(w.login(bobEmail, bobPassword, home)); l.Stage != sess.StageNone {
			t.Errorf("stage = %q", l.Stage)
		}
		in.Body.Email = "late@example.com"
		late := must[api.InviteOut](w, "invite")(w.InviteUser(t.Context(), ada, in))
		w.pass(72*time.Hour + time.Second)
		_, err = w.login("late@example.com", late.Password, home)
		if e := w.wantCode("login after 72 h", err, sess.CodeUnauthenticated); !strings.Contains(e.Message, "run out") {
			t.Errorf("message = %q", e.Message)
		}
	})
}

// An admin of one organisation never gets at the password of somebody who has one: not by inviting them, not by a temporary
// password, not by a link.
func TestInviteOfSomebodyKnown(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada, eve := w.admin(), w.otherOrg()
		w.join(ada, bobEmail, sess.RoleOperator)
		in := inviteIn(bobEmail, sess.RoleAdmin)
		in.Body.Temporary = true
		out := must[api.InviteOut](w, "invite")(w.InviteUser(t.Context(), eve, in))
		if !out.Known || out.Password != "" || out.Link == "" {
			t.Fatalf("invite = %+v", out)
		}
		token := w.tokenOf(out.Link)
		_, err := w.accept(token, "", "evil new password", else1)
		w.wantCode("accept with a password of the admin's", err, sess.CodeUnauthenticated)
		must[api.LoginOut](w, "login as ever")(w.login(bobEmail, bobPassword, home))
		_, err = w.ResetUser(t.Context(), eve, user(bobEmail))
		w.wantCode("reset of who has not accepted", err, sess.CodeConflict)
		joined := must[api.LoginOut](w, "accept")(w.accept(token, "", bobPassword, home))
		if joined.Org != eve.Org {
			t.Errorf("joined %s", joined.Org)
		}
		for _, admin := range []sess.Principal{ada, eve} {
			_, err = w.ResetUser(t.Context(), admin, user(bobEmail))
			w.wantCode("reset of who is elsewhere, too", err, sess.CodeDenied)
		}
		name := api.UserPatchIn{UserRef: user(bobEmail)}
		name.Body.FullName = new("Silly Billy")
		_, err = w.PatchUser(t.Context(), eve, name)
		w.wantCode("rename of who is elsewhere, too", err, sess.CodeDenied)
		// Leaving one organisation changes nothing in the other.
		if err := w.DeleteUser(t.Context(), eve, user(bobEmail)); err != nil {
			t.Fatal(err)
		}
		_, err = w.Authenticate(t.Context(), joined.Token, home)
		w.wantCode("login of the organisation left", err, sess.CodeUnauthenticated)
		must[api.LoginOut](w, "login as ever")(w.login(bobEmail, bobPassword, home))
	})
}

// A temporary password that an admin knows does not open another organisation, nor can another organisation replace it.
func TestTemporaryPasswordStaysHome(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ada, eve := w.admin(), w.otherOrg()
	in := inviteIn(bobEmail, sess.RoleOperator)
	in.Body.Temporary = true
	mine := must[api.InviteOut](w, "invite")(w.InviteUser(t.Context(), ada, in))
	theirs := must[api.InviteOut](w, "invite")(w.InviteUser(t.Context(), eve, in))
	if theirs.Password != "" || !theirs.Known {
		t.Errorf("the other organisation gave %+v", theirs)
	}
	_, err := w.accept(w.tokenOf(theirs.Link), "", mine.Password, home)
	w.wantCode("join with a temporary password", err, sess.CodeConflict)
	again := must[api.InviteOut](w, "invite again")(w.InviteUser(t.Context(), ada, in))
	_, err = w.login(bobEmail, mine.Password, home)
	w.wantCode("login with the first temporary password", err, sess.CodeUnauthenticated)
	must[api.LoginOut](w, "login")(w.login(bobEmail, w.secret(again.Password), home))
}

// Who was made an admin by the box's owner and has not accepted can't be had by an invitation to another organisation.
func TestInviteOpensNoOtherOrganisation(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada, eve := w.admin(), w.otherOrg()
		owners, _, err := w.AdminLink(t.Context(), "default", bobEmail, false)
		if err != nil {
			t.Fatal(err)
		}
		invited := w.invited(ada, "zoe@example.com")
		for email, link := range map[string]string{bobEmail: owners, "zoe@example.com": invited} {
			_, token := w.invite(eve, email, sess.RoleReadOnly)
			taken := must[api.LoginOut](w, "accept of the other's")(w.accept(token, "", "evil new password", else1))
			if taken.Org != eve.Org {
				t.Fatalf("joined %s", taken.Org)
			}
			got := must[api.LoginOut](w, "login")(w.login(email, "evil new password", else1))
			if got.Org != eve.Org {
				t.Errorf("%s: the invitation of another organisation let them into %s", email, got.Org)
			}
			_, err := w.accept(link, "", "my own new password 7", home)
			if email == bobEmail {
				if err != nil {
					t.Errorf("accept of the box owner's link: %v", err)
				}
				_, err = w.Authenticate(t.Context(), got.Token, else1)
				w.wantCode("the login of whoever was first", err, sess.CodeUnauthenticated)
			} else {
				w.wantCode("accept without the password that was set", err, sess.CodeUnauthenticated)
			}
		}
	})
}

func (w *world) invited(admin sess.Principal, email string) string {
	_, token := w.invite(admin, email, sess.RoleOperator)
	return token
}

func TestPasswordRules(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		bob := w.who(w.join(w.admin(), bobEmail, sess.RoleOperator))
		for _, bad := range []string{
			"", "short77", bobEmail, "my " + bobEmail + "!", "password1", "12345678", "qwertyuiop", "aaaaaaaaaaaa", "bob@example", strings.Repeat("x", 1025), "line\nbreak horse", bobPassword,
		} {
			w.wantCode(fmt.Sprintf("new password %.20q", bad), w.change(bob, bobPassword, bad), sess.CodeInvalid)
		}
		w.wantCode("wrong present password", w.change(bob, "not that", "eleven wet otters"), sess.CodeInvalid)
		// None of the last five.
		names := []string{bobPassword, "first wet otter 1", "second wet otter 2", "third wet otter 3", "fourth wet otter 4", "fifth wet otter 5"}
		for i := 1; i < len(names); i++ {
			if err := w.change(bob, names[i-1], names[i]); err != nil {
				t.Fatalf("change %d: %v", i, err)
			}
			w.pass(time.Second)
		}
		for _, former := range names[1:] {
			w.wantCode("back to "+former, w.change(bob, names[5], former), sess.CodeInvalid)
		}
		if err := w.change(bob, names[5], names[0]); err != nil {
			t.Errorf("the sixth last: %v", err)
		}
		key := must[api.Key](w, "key")(w.CreateKey(t.Context(), bob, api.KeyIn{}))
		w.wantCode("change by a key", w.change(w.who(w.secret(key.Secret)), names[0], "sixth wet otter 6"), sess.CodeDenied)
		// Guessing the present password by a stolen login is limited like logins.
		limited := false
		for range 30 {
			limited = limited || sess.Public(w.change(bob, "guess", "seventh wet otter 7")).Code == sess.CodeLimited
		}
		if !limited {
			t.Error("guessing the present password is not limited")
		}
	})
}

func TestForgottenPassword(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := worldWith(t, db, true)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { w.Run(ctx) })
		t.Cleanup(wg.Wait)
		t.Cleanup(cancel)
		ada := w.admin()
		out := must[api.InviteOut](w, "invite")(w.InviteUser(ctx, ada, inviteIn(bobEmail, sess.RoleOperator)))
		if out.Link != "" || out.Mail != "sent" {
			t.Errorf("invite by mail = %+v", out)
		}
		invite := <-w.mails
		if invite.To != bobEmail {
			t.Errorf("mail to %s", invite.To)
		}
		login := must[api.LoginOut](w, "accept")(w.accept(w.linkIn(invite.Text), "", w.secret(bobPassword), home))
		forgot := func(email string) {
			t.Helper()
			var in api.ForgotIn
			in.Body.Email = email
			if err := w.ForgotPassword(ctx, home, in); err != nil {
				t.Fatalf("forgot %s: %v", email, err)
			}
		}
		forgot("nobody@example.com")
		forgot(bobEmail)
		first := <-w.mails
		forgot(bobEmail)
		second := <-w.mails
		if first.To != bobEmail || second.To != bobEmail {
			t.Errorf("mails to %s and %s", first.To, second.To)
		}
		forgot(bobEmail)
		<-w.mails
		forgot(bobEmail) // one too many: no word, no mail
		forgot(adminEmail)
		if m := <-w.mails; m.To != adminEmail {
			t.Errorf("a fourth mail within an hour to %s", m.To)
		}
		reset := func(token, password string) error {
			var in api.ResetIn
			in.Body.Token, in.Body.Password = token, password
			_, err := w.ResetPassword(ctx, home, in)
			return w.saw(err)
		}
		w.wantCode("a link that a newer one replaced", reset(w.linkIn(first.Text), "ten tall storks"), sess.CodeExpired)
		w.pass(2 * time.Hour)
		forgot(bobEmail)
		token := w.linkIn((<-w.mails).Text)
		w.wantCode("the present password", reset(token, bobPassword), sess.CodeInvalid)
		w.wantCode("a bad one", reset(token, "short"), sess.CodeInvalid)
		if err := reset(token, w.secret("ten tall storks")); err != nil {
			t.Fatal(err)
		}
		w.wantCode("the link once more", reset(token, "six sly foxes 6"), sess.CodeExpired)
		_, err := w.Authenticate(ctx, login.Token, home)
		w.wantCode("a login of before", err, sess.CodeUnauthenticated)
		must[api.LoginOut](w, "login with the new one")(w.login(bobEmail, "ten tall storks", home))
		w.pass(25 * time.Hour)
		forgot(bobEmail)
		late := w.linkIn((<-w.mails).Text)
		w.pass(72*time.Hour + time.Second)
		w.wantCode("after 72 h", reset(late, "six sly foxes 6"), sess.CodeExpired)
		w.wantEvent(ada.Org, `"password:forgot"`, bobEmail)
		w.wantEvent(ada.Org, `"password:reset"`, bobEmail)
		// What can't be sent is shown to whoever asked.
		w.mu.Lock()
		w.mailed = identity.Mailed{Final: true, Problem: "550 no such user"}
		w.mu.Unlock()
		failed := must[api.InviteOut](w, "invite")(w.InviteUser(ctx, ada, inviteIn("no@example.com", "")))
		<-w.mails
		shown := must[api.User](w, "show")(w.GetUser(ctx, ada, user("no@example.com")))
		if !strings.Contains(failed.Mail, "550") || shown.Invitation == nil || !strings.Contains(shown.Invitation.Mail, "550") || failed.Link != "" {
			t.Errorf("failed mail: %+v, %+v", failed, shown.Invitation)
		}
		w.wantEvent(ada.Org, `"mail:failed"`, "no@example.com")
	})
}

// linkIn gives the token of the link in a mail.
func (w *world) linkIn(text string) string {
	w.t.Helper()
	m := regexp.MustCompile(`https://\S+#(ses[ir]_[a-z0-9]+)`).FindStringSubmatch(text)
	if m == nil {
		w.t.Fatalf("no link in %q", text)
	}
	return w.secret(m[1])
}

func TestResetByAdmin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ada := w.admin()
	w.join(ada, bobEmail, sess.RoleOperator)
	var in api.ForgotIn
	for _, in.Body.Email = range []string{bobEmail, "nobody@example.com"} {
		w.wantCode("self-service without mail", w.ForgotPassword(t.Context(), home, in), sess.CodeUnavailable)
	}
	out := must[api.ResetOut](w, "reset")(w.ResetUser(t.Context(), ada, user(bobEmail)))
	var r api.ResetIn
	r.Body.Token, r.Body.Password = w.tokenOf(out.Link), w.secret("ten tall storks")
	// Joining another organisation voids it: it is not this admin's any more.
	eve := w.otherOrg()
	_, token := w.invite(eve, bobEmail, "")
	must[api.LoginOut](w, "accept")(w.accept(token, "", bobPassword, home))
	_, err := w.ResetPassword(t.Context(), home, r)
	w.wantCode("a link from before", err, sess.CodeExpired)
	must[api.LoginOut](w, "login as ever")(w.login(bobEmail, bobPassword, home))
}
