package audit

import (
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sessctl/sess/internal/sess"
)

// ProofVersion is the version of the form of a proof; readers refuse a higher one.
const ProofVersion = 1

// MaxProof bounds a proof as JSON, in bytes.
const MaxProof = 128 << 10

// The kinds of proof.
const (
	ProofEvent       = "event"       // that an event stands in its place in the log
	ProofConsistency = "consistency" // that a log only grew since it had fewer events
)

// maxHashes bounds the hashes of a proof: two for each level of a tree.
const maxHashes = 128

// Proof is what shows, with a verifier key and nothing else, that an event is in a log or that a log only grew. Nothing of it
// is trusted but what the signature of the checkpoint and the hashes bear out.
type Proof struct {
	Version    int      `json:"sess_audit_proof"`
	Kind       string   `json:"kind"`
	Log        string   `json:"log"`
	Index      int64    `json:"index,omitempty"`
	Event      string   `json:"event,omitempty"`
	From       int64    `json:"from,omitempty"`
	Hashes     []string `json:"hashes"`
	Checkpoint string   `json:"checkpoint"`
	Key        string   `json:"key"`
}

// ProveEvent proves that the event of these bytes stands at idx of the tree of the checkpoint.
func ProveEvent(idx int64, body []byte, c Checkpoint, signed, vkey string, r tlog.HashReader) (Proof, error) {
	p := Proof{Version: ProofVersion, Kind: ProofEvent, Log: c.Log, Index: idx, Event: string(body), Checkpoint: signed, Key: vkey}
	list, err := tlog.ProveRecord(c.Size, idx, r)
	if err != nil {
		return p, fmt.Errorf("prove event %d of %d: %w", idx, c.Size, err)
	}
	p.Hashes = texts(list)
	return p, nil
}

// ProveConsistency proves that the tree of the checkpoint begins with the one over the first from events.
func ProveConsistency(from int64, c Checkpoint, signed, vkey string, r tlog.HashReader) (Proof, error) {
	p := Proof{Version: ProofVersion, Kind: ProofConsistency, Log: c.Log, From: from, Hashes: []string{}, Checkpoint: signed, Key: vkey}
	if from == 0 || from == c.Size {
		return p, nil
	}
	list, err := tlog.ProveTree(c.Size, from, r)
	if err != nil {
		return p, fmt.Errorf("prove %d events of %d: %w", from, c.Size, err)
	}
	p.Hashes = texts(list)
	return p, nil
}

func texts(list []tlog.Hash) []string {
	out := make([]string, len(list))
	for i, h := range list {
		out[i] = h.String()
	}
	return out
}

func parseHashes(list []string) ([]tlog.Hash, error) {
	if len(list) > maxHashes {
		return nil, fmt.Errorf("%d hashes are more than a proof can have", len(list))
	}
	out := make([]tlog.Hash, len(list))
	for i, s := range list {
		h, err := tlog.ParseHash(s)
		if err != nil || h.String() != s {
			return nil, fmt.Errorf("hash %d is not valid", i)
		}
		out[i] = h
	}
	return out, nil
}

// ParseProof reads a proof.
func ParseProof(b []byte) (Proof, error) {
	var p Proof
	if len(b) > MaxProof || json.Unmarshal(b, &p) != nil || p.Version == 0 {
		return p, sess.New(sess.CodeInvalid, "this is no proof about an audit log", "make one with sessctl audit prove EVENT")
	}
	if p.Version > ProofVersion || p.Version < 0 {
		return p, sess.New(sess.CodeInvalid, fmt.Sprintf("the proof has version %d, and this program knows %d", p.Version, ProofVersion), "use a newer sessctl")
	}
	return p, nil
}

// VerifyEvent checks a proof that an event is in a log, and gives the event and the checkpoint that it is in. Every error says
// that nothing is proved.
func (p Proof) VerifyEvent(vkey string) (Event, Checkpoint, error) {
	c, list, err := p.open(ProofEvent, vkey)
	if err != nil {
		return Event{}, c, err
	}
	if p.Index < 0 || p.Index >= c.Size {
		return Event{}, c, fmt.Errorf("the checkpoint is over %d events, and this is number %d", c.Size, p.Index)
	}
	if err := tlog.CheckRecord(tlog.RecordProof(list), c.Size, c.Root, p.Index, tlog.RecordHash([]byte(p.Event))); err != nil {
		return Event{}, c, errors.New("the event is not in the log that was signed, or not in this place")
	}
	e, err := DecodeEvent([]byte(p.Event))
	return e, c, err
}

// VerifyConsistency checks a proof that a log only grew since the checkpoint from, and gives the checkpoint that it grew to.
// Every error says that nothing is proved; one that is ErrRewritten, that the two signed checkpoints contradict each other.
func (p Proof) VerifyConsistency(from Checkpoint, vkey string) (Checkpoint, error) {
	c, list, err := p.open(ProofConsistency, vkey)
	if err != nil {
		return c, err
	}
	if c.Log != from.Log {
		return c, fmt.Errorf("the checkpoints are of the logs %q and %q", from.Log, c.Log)
	}
	return c, Grew(from, c, list)
}

func (p Proof) open(kind, vkey string) (Checkpoint, []tlog.Hash, error) {
	if p.Kind != kind {
		return Checkpoint{}, nil, fmt.Errorf("this is a proof of %s", cut(p.Kind, maxWord))
	}
	c, err := OpenCheckpoint(p.Checkpoint, vkey)
	if err != nil {
		return c, nil, err
	}
	list, err := parseHashes(p.Hashes)
	return c, list, err
}

// ErrRewritten says that a log was signed that does not begin with the events that were signed before.
var ErrRewritten = errors.New("THE LOG WAS REWRITTEN: what is signed now does not begin with the events that were signed before")

// Grew checks that the log of the checkpoint to only grew since from. list is the proof; it is needed where both sizes differ
// and neither is 0.
func Grew(from, to Checkpoint, list []tlog.Hash) error {
	switch {
	case to.Size < from.Size:
		return fmt.Errorf("%w (%d events, and there were %d)", ErrRewritten, to.Size, from.Size)
	case to.Size == from.Size && to.Root != from.Root:
		return fmt.Errorf("%w (both are over %d events)", ErrRewritten, to.Size)
	case to.Size == from.Size || from.Size == 0:
		return nil
	}
	if err := tlog.CheckTree(tlog.TreeProof(list), to.Size, to.Root, from.Size, from.Root); err != nil {
		return fmt.Errorf("%w (%d events of %d, by the proof)", ErrRewritten, from.Size, to.Size)
	}
	return nil
}
