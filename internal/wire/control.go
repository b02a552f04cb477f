package wire

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"

	"github.com/sessctl/sess/internal/sess"
)

// The control link is one WebSocket of text messages, each a JSON object with its type in "t". It carries little and
// idles for days; bulk never travels on it.
//
//	server → agent  challenge   first message: a nonce for this connection
//	agent → server  hello       who it is, proved by a signature over the nonce; what it runs
//	server → agent  welcome     it is in | refuse: it is not, and why
//	server → agent  offer       a signed offer of a session
//	agent → server  accept | reject
//	agent → server  want        a fresh ticket for a session it runs
//	server → agent  ticket      that ticket | ended: the session is over, kill it and forget it
//	agent → server  over        how the processes of a session ended that was ended before they were
//	server → agent  order       a signed order to end a session
//	both            beat        at least every 20 s; agents add their load now and then
const (
	ControlChallenge = "challenge"
	ControlHello     = "hello"
	ControlWelcome   = "welcome"
	ControlRefuse    = "refuse"
	ControlOffer     = "offer"
	ControlAccept    = "accept"
	ControlReject    = "reject"
	ControlWant      = "want"
	ControlTicket    = "ticket"
	ControlEnded     = "ended"
	ControlOver      = "over"
	ControlOrder     = "order"
	ControlBeat      = "beat"
)

// MaxControl bounds a control message, in bytes.
const MaxControl = 32768

// Control is one message of the control link. Only the fields of its type are set.
type Control struct {
	T string `json:"t"`

	Nonce string `json:"nonce,omitempty"` // challenge: base64url, 32 bytes

	Hello *AgentHello `json:"hello,omitempty"` // hello

	Name string `json:"name,omitempty"` // welcome: the instance's name now

	Signed *Signed `json:"signed,omitempty"` // offer, order: JSON Offer or Order under the broker's signature
	// Ticket joins the relay for the agent's side of Session; single-use, offer and ticket.
	Ticket string `json:"ticket,omitempty"`
	URL    string `json:"url,omitempty"` // offer, ticket: the stream's wss URL

	Session sess.SessionID `json:"session,omitempty"` // accept, reject, want, ticket, ended, over
	Exit    *sess.Exit     `json:"exit,omitempty"`    // over
	Code    sess.Code      `json:"code,omitempty"`    // refuse, reject
	Message string         `json:"message,omitempty"` // refuse, reject: for people
	Hint    string         `json:"hint,omitempty"`    // refuse, reject

	OSUser  string `json:"os_user,omitempty"`  // accept: the user that the session runs as
	LeaseMS int64  `json:"lease_ms,omitempty"` // accept: its lease, which the instance's owner may have made shorter

	Load *Load `json:"load,omitempty"` // beat from an agent
}

// AgentHello proves who the agent is and says what runs there.
type AgentHello struct {
	Instance  sess.InstanceID  `json:"instance"`
	Boot      sess.BootID      `json:"boot"`
	Sessions  []sess.SessionID `json:"sessions"`         // what it still runs or holds bytes of
	Lapsed    []sess.SessionID `json:"lapsed,omitempty"` // what it ended by itself since the last link, because a lease ran out
	Signature []byte           `json:"signature"`
	Version   string           `json:"version"`  // the agent's version
	Protocol  uint16           `json:"protocol"` // Version of this package
	Host      Host             `json:"host"`
}

// Host describes the instance as its agent sees it. Nothing in it is trusted by policy.
type Host struct {
	Hostname string   `json:"hostname"`
	OS       string   `json:"os"`
	Arch     string   `json:"arch"`
	Kernel   string   `json:"kernel,omitempty"`
	Addrs    []string `json:"addrs,omitempty"` // its own addresses, at most 16
	RunsAs   string   `json:"runs_as,omitempty"`
	// What holds the processes of a session together (cgroup v2, cgroup v1, subreaper, process groups), which limits of the
	// owner's file can't be set, and whether programs are listed: "on", or one of sess.NoPrograms…
	Holds      string `json:"holds,omitempty"`
	Unenforced string `json:"unenforced,omitempty"`
	Programs   string `json:"programs,omitempty"`
}

// Load is the instance's load, as its agent sees it.
type Load struct {
	Load1      float64 `json:"load1"`
	MemTotal   uint64  `json:"mem_total"` // bytes
	MemFree    uint64  `json:"mem_free"`  // bytes available without swapping
	DiskTotal  uint64  `json:"disk_total"`
	DiskFree   uint64  `json:"disk_free"`
	UptimeSecs uint64  `json:"uptime"`
}

// Signed is JSON under an Ed25519 signature of the broker's key, made over the purpose, a NUL byte and the body.
type Signed struct {
	Body      []byte `json:"body"`
	Signature []byte `json:"signature"`
	Key       []byte `json:"key"` // the public key that made it: one the agent has pinned
}

// Purposes of signatures, so that one can't stand for another.
const (
	PurposeOffer      = "sess.v1 offer"
	PurposeOrder      = "sess.v1 order"
	PurposeAgentHello = "sess.v1 agent hello" // agent's key over the nonce and the server's name
	PurposeJoin       = "sess.v1 join"        // session key (client) or instance key (agent) over JoinMessage
	PurposeEnrol      = "sess.v1 enrol"       // the new instance key over the token's hash
	PurposeResume     = "sess.v1 resume"      // session key over session id, a random nonce and the server's name
)

// Offer asks an agent to run a session. It counts only on the control link whose nonce it carries.
type Offer struct {
	Nonce      string          `json:"nonce"`
	Instance   sess.InstanceID `json:"instance"`
	Session    sess.SessionID  `json:"session"`
	Kind       sess.Kind       `json:"kind"`
	OSUser     string          `json:"os_user,omitempty"` // empty: the agent's default
	ParamsHash []byte          `json:"params_sha256"`     // of the bytes that open the stream
	Expires    int64           `json:"expires"`           // Unix seconds, for the record: the nonce is what counts
	GraceMS    int64           `json:"grace_ms"`          // how long its last output is kept for a client that is away
	// LeaseMS is how long it lives on without word from a server; then the agent ends it by itself. 0: a server of the version
	// before, whose lease is a minute more than the grace.
	LeaseMS int64  `json:"lease_ms,omitempty"`
	By      string `json:"by"` // who asked: name of the principal
	Reason  string `json:"reason,omitempty"`
	// Programs asks for the list of programs that run, on ChannelPrograms. A relay that takes it is what sets this.
	Programs bool `json:"programs,omitempty"`
	// Echoed asks for what is typed while the terminal echoes, on ChannelEchoed: the session's input is masked in its record.
	Echoed bool `json:"echoed,omitempty"`
}

// Order tells an agent to end a session now.
type Order struct {
	Nonce   string         `json:"nonce"`
	Session sess.SessionID `json:"session"`
	Reason  sess.EndReason `json:"reason"`
	By      string         `json:"by,omitempty"`
	// Hard kills at once; otherwise SIGHUP first, and the last output still flows for up to a second.
	Hard bool `json:"hard"`
}

// SignedMessage gives the bytes a signature of the given purpose covers: the purpose and each part, NUL between them.
func SignedMessage(purpose string, parts ...[]byte) []byte {
	m := []byte(purpose)
	for _, p := range parts {
		m = append(m, 0)
		m = append(m, p...)
	}
	return m
}

// Sign wraps v, signed by key for purpose.
func Sign(key ed25519.PrivateKey, purpose string, v any) (*Signed, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", purpose, err)
	}
	return &Signed{
		Body:      body,
		Signature: ed25519.Sign(key, SignedMessage(purpose, body)),
		Key:       key.Public().(ed25519.PublicKey),
	}, nil
}

// Verify checks s against the pinned keys and decodes its body into v.
func (s *Signed) Verify(pinned []ed25519.PublicKey, purpose string, v any) error {
	for _, k := range pinned {
		if !k.Equal(ed25519.PublicKey(s.Key)) {
			continue
		}
		if !ed25519.Verify(k, SignedMessage(purpose, s.Body), s.Signature) {
			return fmt.Errorf("signature of %s does not match", purpose)
		}
		if err := json.Unmarshal(s.Body, v); err != nil {
			return fmt.Errorf("decode %s: %w", purpose, err)
		}
		return nil
	}
	return fmt.Errorf("%s is signed by a key that is not pinned", purpose)
}

// JoinMessage is what a side signs when it joins the relay with a ticket: ticketHash is the SHA-256 of the ticket,
// server the host name in the stream's URL. The ticket is the challenge, so it costs no round trip.
func JoinMessage(ticketHash []byte, session sess.SessionID, side sess.Side, server string) []byte {
	return SignedMessage(PurposeJoin, ticketHash, []byte(session), []byte(side), []byte(server))
}
