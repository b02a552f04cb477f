// Package client starts or joins a session and drives it: it asks the API for a ticket, joins the relay with it, keeps the
// session joined over lost networks, and connects it to a terminal or to standard input, output and error.
//
//	Open → Client
//	└ Start / Attach            POST /v1/sessions, or …/attach → Session
//	  └ keep                    dial, Endpoint.Run, and again with a fresh ticket until the session is over
//	    ├ Session.Exec          stdin, stdout and stderr apart
//	    └ Session.Terminal      a terminal in raw mode, with escapes
//
// Nothing here writes to standard output except bytes of the session.
package client
