package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// enrolTimeout bounds the one request of an enrolment.
const enrolTimeout = 60 * time.Second

// Enrolment says how to make this machine an instance.
type Enrolment struct {
	State   StateDir
	Server  string // link.ParseServer's form; the token may bring the pin
	Token   string
	Name    string // wanted; empty: the host name
	Force   bool   // replaces an enrolment that is there
	Version string // of this program
	Proxy   func(*http.Request) (*url.URL, error)
}

// Enroll makes this machine an instance: the key is made here, and its private half never leaves.
func Enroll(ctx context.Context, e Enrolment) (Identity, error) {
	server, err := e.server()
	if err != nil {
		return Identity{}, err
	}
	unlock, err := e.State.lock()
	if err != nil {
		return Identity{}, err
	}
	defer unlock()
	if e.State.Enrolled() && !e.Force {
		old, _, err := e.State.Load()
		name := ""
		if err == nil {
			name = fmt.Sprintf(" as %s (%s) of %s", old.Name, old.Instance, old.Server)
		}
		return Identity{}, sess.New(sess.CodeConflict, "this machine is enrolled already"+name, "run sess-agent run; or enrol anew with --force")
	}
	if err := e.State.probe(); err != nil { // before the token is used up
		return Identity{}, err
	}
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return Identity{}, fmt.Errorf("make key: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	d := &link.Dialer{Server: server, Proxy: e.Proxy, UserAgent: "sess-agent/" + e.Version}
	defer d.CloseIdle()
	client := &api.Client{Base: server.URL, HTTP: d.HTTPClient(), Agent: d.UserAgent}
	out, err := api.Call(ctx, client, api.Enrol, e.request(public, key))
	if err != nil {
		return Identity{}, err
	}
	id := Identity{
		Instance: out.Instance, Name: out.Name, Server: server.String(), ServerName: orElse(out.Server.Name, server.Name()),
		BrokerKeys: out.BrokerKeys, EnrolledAt: time.Now().UTC().Truncate(time.Second),
	}
	if !sess.ValidID("ins", string(id.Instance)) || len(id.brokerKeys()) == 0 {
		return Identity{}, sess.New(sess.CodeUnavailable, "the server's answer to the enrolment makes no sense", "is it a sess-server of this version or the one before?")
	}
	return id, e.State.save(id, key)
}

// server gives the server with the pin of URL or token.
func (e Enrolment) server() (link.Server, error) {
	server, err := link.ParseServer(e.Server)
	if err != nil {
		return server, err
	}
	if server.URL.Scheme == "http" && !loopback(server.URL.Hostname()) {
		return server, sess.New(sess.CodeInvalid, "the server's URL is http: the token would travel in the clear", "use https")
	}
	token, err := sess.ParseToken(e.Token, sess.TokenEnrol)
	if err != nil {
		return server, err
	}
	switch {
	case token.Pin == nil:
	case server.Pin == nil:
		server.Pin = token.Pin
	case !bytes.Equal(server.Pin, token.Pin):
		return server, sess.New(sess.CodeInvalid, "the pin in the URL is not the pin in the token", "take URL and token from the same sessctl token create")
	}
	return server, nil
}

func (e Enrolment) request(public ed25519.PublicKey, key ed25519.PrivateKey) api.EnrolIn {
	var in api.EnrolIn
	hash := sha256.Sum256([]byte(e.Token))
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	b := &in.Body
	b.Token, b.PublicKey, b.Signature = e.Token, public, ed25519.Sign(key, wire.SignedMessage(wire.PurposeEnrol, hash[:]))
	b.Name, b.Hostname, b.OS, b.Arch, b.Version = e.Name, host, runtime.GOOS, runtime.GOARCH, e.Version
	return in
}

// probe looks whether files can be written.
func (d StateDir) probe() error {
	const name = "probe"
	if err := d.write(name, nil); err != nil {
		return err
	}
	return os.Remove(d.path(name))
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
