package audit

import "strings"

// ocsfClass is the class of OCSF and the activity within it that an action is.
type ocsfClass struct {
	class, activity int
	name            string
}

// ocsfKind says what an event is in OCSF: some by their action, the others by their verb.
func ocsfKind(e Event) ocsfClass {
	if k, ok := ocsfByAction(e.Action); ok {
		return k
	}
	area, verb, _ := strings.Cut(e.Action, ":")
	switch verb {
	case "list", "list-all", "show", "export", "verify", "replay", "explain", "explain-own", "watch", "prove":
		return ocsfClass{ocsfAPIActivity, 2, "Read"}
	}
	if area == "session" || area == "recording" || area == "" || e.On.Type == "" {
		return ocsfActivity(ocsfAPIActivity, verb)
	}
	return ocsfActivity(ocsfEntityManagement, verb)
}

// ocsfActivity finds the activity by the first word of a verb: create-machine creates.
func ocsfActivity(class int, verb string) ocsfClass {
	word, _, _ := strings.Cut(verb, "-")
	switch word {
	case "create", "add", "start", "invite", "share":
		return ocsfClass{class, 1, "Create"}
	case "set", "change", "put", "rename", "rotate", "move", "reset", "use":
		return ocsfClass{class, 3, "Update"}
	case "delete", "remove", "end":
		return ocsfClass{class, 4, "Delete"}
	}
	return ocsfClass{class, ocsfOther, verb}
}

func ocsfByAction(action string) (ocsfClass, bool) {
	auth := func(id int, name string) (ocsfClass, bool) { return ocsfClass{ocsfAuthentication, id, name}, true }
	account := func(id int, name string) (ocsfClass, bool) { return ocsfClass{ocsfAccountChange, id, name}, true }
	switch action {
	case "login", "idp:login", "authenticate":
		return auth(1, "Logon")
	case "logout":
		return auth(2, "Logoff")
	case "login:challenge":
		return auth(6, "Preauth")
	case "mfa:verify", "org:use":
		return auth(ocsfOther, action)
	case "instance:connect":
		return ocsfClass{ocsfAPIActivity, ocsfOther, "connect"}, true
	case "user:invite", "machine:create", "invite:create":
		return account(1, "Create")
	case "accept", "user:reactivate":
		return account(2, "Enable")
	case "password:change":
		return account(3, "Password Change")
	case "password:reset", "user:reset", "password:forgot":
		return account(4, "Password Reset")
	case "user:deactivate":
		return account(5, "Disable")
	case "user:delete":
		return account(6, "Delete")
	case "grant:create":
		return account(7, "Attach Policy")
	case "grant:delete":
		return account(8, "Detach Policy")
	case "mfa:enrol":
		return account(10, "MFA Factor Enable")
	case "mfa:remove", "user:reset-mfa":
		return account(11, "MFA Factor Disable")
	case "user:change", "user:revoke", "user:unlock", "mfa:recovery-codes":
		return account(ocsfOther, action)
	case "enrol":
		return ocsfClass{ocsfEntityManagement, 6, "Enroll"}, true
	case "whoami":
		return ocsfClass{ocsfAPIActivity, 2, "Read"}, true
	}
	return ocsfClass{}, false
}
