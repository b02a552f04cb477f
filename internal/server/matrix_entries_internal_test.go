package server

import (
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
)

// harmlessPolicy decides nothing about anybody.
const harmlessPolicy = `{"body":"@id(\"x\") permit (principal is User, action == Action::\"session:start\", resource is Instance) when { principal.name == \"nobody\" };"}`

// matrixEntries has every operation of the API, and the downloads; behind a space in a name stands in which of its ways it is asked.
func matrixEntries() map[string]entry {
	admin, support := []sess.Role{sess.RoleAdmin}, []sess.Role{sess.RoleSupport}
	everywhere := []sess.Stage{sess.StagePassword, sess.StageMFA}
	token, key, grant := map[string]string{"id": "token"}, map[string]string{"id": "key"}, map[string]string{"id": "grant"}
	mfa, code, none := []sess.Stage{sess.StageMFA}, `{"code":"123456"}`, []sess.Code{sess.CodeNotFound}
	recording := map[string]string{"session": "recording"}
	return map[string]entry{
		"server": {guarded: "it tells nothing that is anybody's"},
		"login":  {guarded: "the password", locked: lockedLogin, body: `{"email":"none, so that no failure counts","password":"x"}`},
		"accept": {guarded: "the invitation", locked: lockedAccept, body: `{"token":"sesi_x","password":"a long enough 7 password"}`},
		"enrol": {
			guarded: "the enrolment token",
			body:    `{"token":"sesn_x","public_key":"AA==","signature":"AA==","hostname":"h","os":"linux","arch":"amd64","version":"1"}`,
		},
		"login-device": {guarded: "it only begins a login, which a person ends in a browser", body: `{"client":"c"}`},
		"login-redeem": {guarded: "the code that the browser was given", body: `{"device_code":"x"}`},
		"logout":       {act: policy.Logout, stages: everywhere},
		"whoami":       {act: policy.Whoami, stages: everywhere},

		"org-list":           {act: policy.OrgList, person: true},
		"org-use":            {act: policy.OrgUse, person: true, body: `{"client":"c"}`},
		"org-show":           {act: policy.OrgShow},
		"org-rename":         {act: policy.OrgRename, body: `{"name":"{new}"}`},
		"org-set":            {act: policy.OrgSet, body: `{"settings":{"key-validity":"30d"}}`},
		"login-mfa":          {guarded: "the challenge", locked: lockedChallenge, body: `{"challenge":"sesc_x","code":"123456"}`},
		"mfa-list":           {act: policy.MFAList, stages: mfa},
		"mfa-verify":         {act: policy.MFAVerify, stages: mfa, body: code, fails: none, locked: lockedFactor},
		"mfa-enrol":          {act: policy.MFAEnrol, stages: mfa},
		"mfa-confirm":        {act: policy.MFAEnrol, stages: mfa, body: code, fails: []sess.Code{sess.CodeNotFound, sess.CodeMFA}, locked: lockedEnrolment},
		"mfa-remove":         {act: policy.MFARemove, body: code, fails: none, locked: lockedFactor},
		"mfa-recovery-codes": {act: policy.MFARecoveryCodes, body: code, fails: none, locked: lockedFactor},
		"user-reset-mfa":     {act: policy.UserResetMFA},
		"user-unlock":        {act: policy.UserUnlock, fails: []sess.Code{sess.CodeInvalid}},

		"token-create": {act: policy.TokenCreate, body: `{"uses":1,"project":"default"}`},
		"token-list":   {act: policy.TokenList},
		"token-delete": {act: policy.TokenDelete, kinds: token},

		"instance-list":      {act: policy.InstanceList},
		"instance-list some": {act: policy.InstanceList, query: "prefix=i&label=a%3Db"},
		"instance-show":      {act: policy.InstanceShow},
		"instance-change":    {act: policy.InstanceChange, body: `{"labels":{"a":"b"}}`},
		"instance-remove":    {act: policy.InstanceRemove},
		"instance-move":      {act: policy.InstanceMove, body: `{"project":"{project}"}`},

		"session-start": {
			act: policy.SessionStart, body: `{"instance":"{instance}","kind":"exec","params":"eyJhcmd2IjpbIngiXX0=","public_key":"{point}"}`,
			fails: []sess.Code{sess.CodeOffline},
		},
		"session-list":     {act: policy.SessionList},
		"session-list all": {act: policy.SessionList, query: "state=all&instance={instance}&user={user}"},
		"session-show":     {act: policy.SessionShow},
		"session-attach":   {act: policy.SessionAttach, also: policy.SessionStart, body: `{"public_key":"{point}"}`},
		"session-end":      {act: policy.SessionEnd, body: `{"reason":"r"}`},
		"session-resume":   {guarded: "the session's own key", body: `{"nonce":"AAAAAAAAAAAAAAAAAAAAAA==","signature":"AA=="}`},

		"alert-add":             {act: policy.AlertAdd, body: `{"url":"https://127.0.0.1/x","on":["all"]}`},
		"alert-list":            {act: policy.AlertList},
		"alert-show":            {act: policy.AlertShow, kinds: map[string]string{"id": "alert"}},
		"alert-test":            {act: policy.AlertTest, kinds: map[string]string{"id": "alert"}},
		"alert-remove":          {act: policy.AlertRemove, kinds: map[string]string{"id": "alert"}},
		"usage-show":            {act: policy.UsageShow},
		"usage-show month":      {act: policy.UsageShow, query: "by=month"},
		"session-end-many":      {act: policy.SessionEndMany, body: `{"user":"{user}"}`},
		"session-end-many all":  {act: policy.SessionEndMany, body: `{"all":true,"reason":"r"}`},
		"session-list filtered": {act: policy.SessionList, query: "state=all&project={project}&kind=exec&label=a%3Db&since=2026-01-02T03:04:05Z"},

		"lock-add":          {act: policy.LockAdd, body: `{"kind":"user","target":"{user}","reason":"r"}`},
		"lock-add group":    {act: policy.LockAdd, body: `{"kind":"group","target":"{group}"}`},
		"lock-add instance": {act: policy.LockAdd, body: `{"kind":"instance","target":"{instance}"}`},
		"lock-add project":  {act: policy.LockAdd, body: `{"kind":"project","target":"{project}","ttl_seconds":60}`},
		"lock-add key":      {act: policy.LockAdd, body: `{"kind":"key","target":"{key}"}`},
		"lock-add address":  {act: policy.LockAdd, body: `{"kind":"address","target":"203.0.113.7"}`},
		"lock-list":         {act: policy.LockList},
		"lock-show":         {act: policy.LockShow},
		"lock-remove":       {act: policy.LockRemove},

		"session-join":         {act: policy.SessionJoin, more: support, body: `{"role":"peer","public_key":"{point}"}`, fails: []sess.Code{sess.CodePending, sess.CodeInvalid}},
		"session-join observe": {act: policy.SessionObserve, more: support, body: `{"role":"observer","public_key":"{point}"}`, fails: []sess.Code{sess.CodePending}},
		"session-await":        {act: policy.SessionAsk, fails: none},
		"session-answer":       {act: policy.SessionAnswer, body: `{"allow":true}`, fails: none},
		"session-kick":         {act: policy.SessionKick, body: `{"who":"x"}`, fails: none},
		"session-share":        {act: policy.SessionShare, body: `{"role":"observer"}`},
		"session-shares":       {act: policy.SessionShare},
		"session-unshare":      {act: policy.SessionShare, body: `{}`, fails: none},
		"share-open":           {act: policy.SessionOpen, body: `{"token":"` + sess.EncodeToken(sess.Token{Kind: sess.TokenShare}) + `"}`, fails: none},

		"key-create":         {act: policy.KeyCreate, body: `{"name":"{new}"}`},
		"key-list":           {act: policy.KeyList},
		"key-create user":    {act: policy.KeyCreateMachine, body: `{"user":"{machine}"}`},
		"key-create machine": {act: policy.KeyCreateMachine, body: `{"machine":"{new}","role":"operator"}`},
		"key-list all":       {act: policy.KeyListAll, query: "all=true"},
		"key-list user":      {act: policy.KeyListAll, query: "user={user}"},
		"key-delete":         {act: policy.KeyDelete, kinds: key, others: admin},
		"key-rotate":         {act: policy.KeyRotate, kinds: key, others: admin, body: `{"overlap_seconds":60}`},
		"machine-create":     {act: policy.MachineCreate, body: `{"name":"{new}","role":"operator","project":"{project}"}`},

		"user-invite":     {act: policy.UserInvite, body: `{"email":"{new}@example.com","role":"operator","project":"{project}","groups":["{group}"]}`},
		"user-list":       {act: policy.UserList},
		"user-list all":   {act: policy.UserList, query: "deleted=true&kind=local"},
		"user-show":       {act: policy.UserShow},
		"user-change":     {act: policy.UserChange, body: `{"valid_seconds":3600}`},
		"user-reset":      {act: policy.UserReset, fails: []sess.Code{sess.CodeConflict}}, // without a password there is nothing to reset
		"user-revoke":     {act: policy.UserRevoke},
		"user-deactivate": {act: policy.UserDeactivate},
		"user-reactivate": {act: policy.UserReactivate, fails: []sess.Code{sess.CodeConflict}}, // who is active
		"user-delete":     {act: policy.UserDelete},

		"accept-look":     {guarded: "the invitation", body: `{"token":"sesi_x"}`},
		"password-forgot": {guarded: "the answer goes to the mailbox", body: `{"email":"a@example.com"}`},
		"password-reset":  {guarded: "the link", body: `{"token":"sesr_x","password":"a long enough 7 password"}`},
		"password-change": {
			act: policy.PasswordChange, body: `{"old":"x","new":"a long enough 7 password"}`, stages: []sess.Stage{sess.StagePassword}, locked: lockedPassword,
			fails: []sess.Code{sess.CodeInvalid}, // the present password is wrong
		},

		"group-create": {act: policy.GroupCreate, body: `{"name":"{new}"}`},
		"group-list":   {act: policy.GroupList},
		"group-show":   {act: policy.GroupShow},
		"group-delete": {act: policy.GroupDelete},
		"group-add":    {act: policy.GroupChange},
		"group-remove": {act: policy.GroupChange, fails: []sess.Code{sess.CodeNotFound}},

		"project-create": {act: policy.ProjectCreate, body: `{"name":"{new}"}`},
		"project-list":   {act: policy.ProjectList},
		"project-show":   {act: policy.ProjectShow},
		"project-change": {act: policy.ProjectChange, body: `{"name":"{new}"}`},
		"project-delete": {act: policy.ProjectDelete},

		"grant-create":     {act: policy.GrantCreate, body: `{"user":"{user}","role":"operator","project":"{project}"}`},
		"grant-list":       {act: policy.GrantList},
		"grant-list user":  {act: policy.GrantList, query: "user={user}"},
		"grant-list group": {act: policy.GrantList, query: "group={group}&project={project}"},
		"grant-delete":     {act: policy.GrantDelete, kinds: grant},

		"role-list":   {act: policy.RoleList},
		"role-show":   {act: policy.RoleShow},
		"role-create": {act: policy.RoleCreate, body: `{"name":"{new}","actions":["instance:list"]}`},
		"role-set":    {act: policy.RoleSet, body: `{"summary":"s"}`},
		"role-delete": {act: policy.RoleDelete},

		"policy-list":         {act: policy.PolicyList},
		"policy-show":         {act: policy.PolicyShow},
		"policy-put":          {act: policy.PolicyPut, body: harmlessPolicy},
		"policy-delete":       {act: policy.PolicyDelete},
		"policy-test":         {act: policy.PolicyTest, body: `{"cases":[{"user":"{user}","action":"session:start","instance":"{instance}","expect":"deny"}]}`},
		"policy-explain":      {act: policy.PolicyExplainOwn, body: `{"question":{"action":"instance:list"}}`},
		"policy-explain user": {act: policy.PolicyExplain, body: `{"question":{"user":"{user}","action":"session:start","instance":"{instance}"}}`},
		"access-list":         {act: policy.Whoami, stages: everywhere}, // it says what one may do: nothing then

		"grant-create role": {act: policy.GrantCreate, body: `{"group":"{group}","role":"{role}"}`},

		"idp-create": {act: policy.IDPCreate, body: `{"name":"{new}","kind":"github","secret":"s","settings":{"client_id":"c","allow_orgs":["o"]}}`},
		"idp-list":   {act: policy.IDPList},
		"idp-show":   {act: policy.IDPShow},
		"idp-change": {act: policy.IDPChange, body: `{"secret":"t"}`},
		"idp-remove": {act: policy.IDPRemove},
		"idp-test":   {act: policy.IDPTest},

		"recording-list":        {act: policy.RecordingList},
		"recording-list some":   {act: policy.RecordingList, query: "instance={instance}&user={user}"},
		"recording-show":        {act: policy.RecordingShow, kinds: recording},
		"session-commands":      {act: policy.RecordingCommands, kinds: recording, fails: []sess.Code{sess.CodeNotFound}},
		"recording-share":       {act: policy.RecordingShare, kinds: recording, body: `{"everyone":true}`, fails: []sess.Code{sess.CodeInvalid}},
		"recording-list-shares": {act: policy.RecordingListShares},
		"recording-unshare":     {act: policy.RecordingUnshare, kinds: recording, fails: []sess.Code{sess.CodeNotFound}},
		"recording-hold":        {act: policy.RecordingHold, kinds: recording, body: `{"reason":"r"}`},
		"recording-release":     {act: policy.RecordingRelease, kinds: recording},
		"recording-data":        {act: policy.RecordingReplay, kinds: recording, fails: []sess.Code{sess.CodeNotFound}},

		"audit-list":      {act: policy.AuditList},
		"audit-list some": {act: policy.AuditList, query: "session={session}&who={user}"},
		"audit-verify":    {act: policy.AuditVerify},
		"audit-export":    {act: policy.AuditExport},

		"audit-export csv":  {act: policy.AuditExport, query: "format=csv&since=2020-01-01T00:00:00Z"},
		"audit-watch":       {act: policy.AuditWatch, query: "from=0&until=2020-01-01T00:00:00Z"},
		"audit-show":        {act: policy.AuditShow},
		"audit-prove":       {act: policy.AuditProve},
		"audit-checkpoint":  {act: policy.AuditProve},
		"sink-create":       {act: policy.SinkCreate, body: `{"name":"{new}","url":"https://example.com/"}`},
		"sink-list":         {act: policy.SinkList},
		"sink-show":         {act: policy.SinkShow},
		"sink-test":         {act: policy.SinkTest},
		"sink-remove":       {act: policy.SinkRemove},
		"audit-consistency": {act: policy.AuditProve, query: "from=1"},
	}
}
