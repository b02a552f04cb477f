package policy

import "github.com/sessctl/sess/internal/sess"

// fixed judges those who hold no roles: an agent may do what concerns its own instance, the server what it does by
// itself, the box's owner what is done at the machine. No policy changes this table.
func fixed(who sess.Principal, act Action, on Resource) Decision {
	allow := func(ok bool, rule string) Decision {
		if !ok {
			return Decision{}
		}
		return Decision{Allowed: true, Rules: []string{"fixed/" + rule}}
	}
	switch who.Credential {
	case sess.CredentialAgent:
		return allow(agentMay(who, act, on), "agent")
	case sess.CredentialSystem:
		switch act {
		case OrgCreate, InviteCreate, IDPLogin:
			return allow(true, "system")
		default:
			return Decision{}
		}
	case sess.CredentialAdmin:
		switch act {
		case OrgCreate, OrgList, LockAdd, LockList, LockRemove, UsageShow, InviteCreate, AuditList, AuditVerify, AuditExport, SinkCreate, SinkList, SinkShow, SinkTest, SinkRemove:
			return allow(true, "box-admin")
		default:
			return Decision{}
		}
	case sess.CredentialNone, sess.CredentialLogin, sess.CredentialKey:
	}
	return Decision{}
}

func agentMay(who sess.Principal, act Action, on Resource) bool {
	if who.Instance == "" {
		return false
	}
	switch act {
	case Enrol, InstanceConnect:
		return on.Type == TypeInstance && on.ID == string(who.Instance)
	case SessionRedeem: // its side of a session that runs on it
		return on.Type == TypeSession && on.Instance == who.Instance
	default:
		return false
	}
}
