package store_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// everyOrg lists the queries on tables with an org that take no org, each with its reason. What is not here must take
// one; what is here and needn't be fails the test, too.
var everyOrg = map[string]string{
	"GetTicketByHash":         "the ticket is all that is known: it tells the org",
	"GetInviteByHash":         "the invitation's token is all that is known: it tells the org",
	"GetLoginByHash":          "the login's token is all that is known: it tells the org",
	"GetAPIKeyByHash":         "the key is all that is known: it tells the org",
	"GetEnrolTokenByHash":     "the enrolment token is all that is known: it tells the org",
	"ListAccounts":            "a login by e-mail address names no org",
	"GetLoginChallengeByHash": "the challenge's token is all that is known: it tells the org",
	"PurgeLoginChallenges":    "housekeeping by age",
	"GetAgent":                "an agent names its instance, and proves it with the key in that row",
	"ListAlertsDue":           "the server looks at all logs; what it raises says whose it is",
	"ListAlertHooksDue":       "the server tells all webhooks; each row says whose it is",
	"PurgeAlerts":             "housekeeping by age",
	"PurgeAlertSeen":          "housekeeping by age",
	"SumUsageOfOrgs":          "for the owner of the box, who is billed for all of it",
	"GetSessionByID":          "who resumes by the session's key names only the session, and proves it with the key in that row",

	"ListUnfilledAuditEvents": "after an upgrade the server fills in every log's",
	"FindIDP":                 "the URL that was registered at the provider names only the provider: it tells the org",
	"AnyIDP":                  "whether a browser can be needed at all is said to everybody, and nothing else",

	"FormerOrgsOfName": "a name is taken on the whole server: whoever wants it is told that, and not by whom",
	"GetLockByID":      "the owner of the box names a lock of any org",
	"ListLocksOfBox":   "the owner of the box lists the locks of all orgs",
	"ListExpiredLocks": "housekeeping: locks that ran out are cleared away",

	"PurgeRecordingShares":  "housekeeping: shares that ran out are cleared away",
	"ListExpiredRecordings": "housekeeping: a node deletes its files of what has expired",

	"ListAllOrgs":    "the owner of the box lists all organisations",
	"ListMyOrgs":     "a person is told where they are a member: their id is what asks",
	"FindMembership": "a person goes where they are a member: their id is what asks",

	"ListOrgsOfPerson": "a password is the person's: who resets it must know whom it lets in, and where",

	"ListUnplacedAuditLogs": "the sequencer serves all logs",
	"ListAuditLogs":         "the owner of the box checks all logs",

	"ListLiveSessionsOfNode":       "a node looks after the sessions it relays, of all orgs",
	"ListLingeringSessionsOfNode":  "a node looks after the sessions it relays, of all orgs",
	"ListOrgsOfSharesOver":         "a node looks after who is in the sessions it relays, of all orgs",
	"ListGuestsOfNode":             "a node looks after who is in the sessions it relays, of all orgs",
	"ListUnclosedRecordingsOfNode": "a node looks after the sessions it relays, of all orgs",
	"ListRulesOfNode":              "a node looks again at the sessions it relays, of all orgs, when what decides changed",
	"ListExpiredSessionsOfNode":    "a node looks after the sessions it relays, of all orgs",
	"ForgetConnectionsOfNode":      "a node that begins holds no connections of any org",
	"ListConnectionsOfNode":        "a node looks after the connections it holds, of all orgs",
	"ListOtherNodes":               "nodes look after each other's connections, of all orgs",
	"ListCredentialsOfNode":        "a node looks after the sessions it relays, of all orgs",
	"ListSessionsOfDeadKeys":       "a node looks after the sessions it relays, of all orgs",
	"ListFreeAuditSinks":           "a node streams the logs of all orgs",
	"ListDueAuditCursors":          "a sink, whose row says whose it is, names the logs that it gets",
	"SumAuditCursors":              "a sink, whose row says whose it is, names the logs that it gets",
	"DeleteAuditCursors":           "a sink that is removed, whose row says whose it is",
	"ListLogsNewToSink":            "a sink of the box's owner gets the logs of all orgs",
	"PurgeLogins":                  "housekeeping by age",
	"ReleaseAuditSinks":            "a node that stops gives up what it streams, of all orgs",
	"ForgetLinksOfNode":            "a node that starts forgets the links it had, of all orgs",
	"PurgeSessionParams":           "housekeeping by age",
	"PurgeTickets":                 "housekeeping by age",
	"PurgeResumeNonces":            "housekeeping by age",
}

// boxTables have no org.
// They belong to the box; a person's passwords and reset links are the same in every org.
// So do logins under way, and what guards them: nobody is known when one begins.
var boxTables = []string{"org", "person", "node", "login_failure", "password_history", "reset_link", "login_flow", "login_place", "login_block", "box_lock"}

// tenantColumn gives the column of a table that says whose a row is; none for tables of the box.
func tenantColumn(t *testing.T, table string) string {
	t.Helper()
	if slices.Contains(boxTables, table) {
		return ""
	}
	_, rest, ok := strings.Cut(schema(t), "CREATE TABLE "+table+" (")
	if !ok {
		t.Fatalf("no table %s", table)
	}
	body, _, _ := strings.Cut(rest, ");")
	switch first, _, _ := strings.Cut(strings.TrimSpace(body), " "); first {
	case "org", "log":
		return first
	default:
		t.Fatalf("table %s begins with the column %s: a table's first column says whose its rows are (or list it in boxTables, with a reason)", table, first)
		return ""
	}
}

// Every statement on a table of an organisation names the organisation: for the first table by a parameter, for those
// joined to it by a column.
func TestEveryStatementNamesItsOrg(t *testing.T) {
	seen := map[string]bool{}
	for _, q := range loadQueries(t) {
		seen[q.name] = true
		var tenant []string
		for _, table := range q.tables {
			if c := tenantColumn(t, table); c != "" {
				tenant = append(tenant, c)
			}
		}
		reason, listed := everyOrg[q.name]
		switch {
		case len(q.tables) == 0:
			t.Errorf("%s: %s names no table that this test knows", q.file, q.name)
		case listed && reason == "":
			t.Errorf("%s is listed in everyOrg without a reason", q.name)
		case listed && (q.takesOrg() || len(tenant) == 0):
			t.Errorf("%s is listed in everyOrg and needn't be", q.name)
		case !listed && len(tenant) > 0 && !namesOrg(q, tenant):
			t.Errorf("%s: %s does not say whose rows it means (org = $1 for the first table, org = org for those joined):\n\t%s", q.file, q.name, q.text)
		}
	}
	for name := range everyOrg {
		if !seen[name] {
			t.Errorf("everyOrg lists %s, which is no query", name)
		}
	}
}

var (
	orgParam  = regexp.MustCompile(`\b(org|log) = (\$\d+|sqlc\.arg\((org|log)\))`)
	orgColumn = regexp.MustCompile(`\b(org|log) = \w+\.(org|log)\b`)
	orgInsert = regexp.MustCompile(`^INSERT INTO \w+ \( ?(org|log),.*VALUES \( ?\$1,`)
)

func namesOrg(q query, tenant []string) bool {
	if !q.takesOrg() {
		return false
	}
	if q.inserts() && orgInsert.MatchString(q.text) {
		return true
	}
	named := len(orgParam.FindAllString(q.text, -1))
	return named >= 1 && named+len(orgColumn.FindAllString(q.text, -1)) >= len(tenant)
}

// What one of the two databases doesn't know, or takes for something else.
func TestStatementsArePortable(t *testing.T) {
	forbidden := map[string]string{
		`(?i)\bnow\s*\(`:                      "the time is a parameter",
		`(?i)\bcurrent_(timestamp|time|date)`: "the time is a parameter",
		`(?i)\bilike\b`:                       "SQLite has no ILIKE",
		`->`:                                  "JSON is read in Go",
		`(?i)\bfor (no key )?(update|share)`:  "SQLite has no row locks: use a conditional UPDATE, or Tx.Lock",
		`(?i)\bskip locked\b`:                 "SQLite has no SKIP LOCKED",
		`::`:                                  "write CAST(x AS TYPE)",
		`(?i)\bany\s*\(`:                      "SQLite has no arrays",
		`(?i)\b(true|false)\b`:                "booleans are 0 and 1",
		`(?i)\bcast\([^)]*\) as int\b`:        "write BIGINT",
		`(?i)\binsert or\b`:                   "write ON CONFLICT",
		`(?i)\bdistinct on\b`:                 "PostgreSQL only",
		`(?i)\b(max|min)\([^()]*,`:            "max of two values is SQLite's; PostgreSQL says GREATEST",
		`(?i)\bifnull\b`:                      "write COALESCE",
		`"`:                                   "an unknown name in double quotes is a string to SQLite",
		`(?i)\blike '[^']*\\`:                 "say ESCAPE: only PostgreSQL has an escape character without",
	}
	queries, migrations := loadQueries(t), schema(t)
	for pattern, why := range forbidden {
		re := regexp.MustCompile(pattern)
		for _, q := range queries {
			if re.MatchString(q.text) {
				t.Errorf("%s: %s: %s (%s)", q.file, q.name, why, pattern)
			}
		}
		if re.MatchString(migrations) {
			t.Errorf("migrations: %s (%s)", why, pattern)
		}
	}
}
