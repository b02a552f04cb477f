// Package agent is the instance's side of sess: it enrols, keeps one control link to the server, and runs the sessions
// that are offered there and that the machine's owner allows. It listens on nothing.
//
//	Enroll                     a key made here, a token used up, server and broker keys pinned
//	Agent.Run
//	├ keep                     the control link, dialled again for ever
//	│ └ connect                challenge, hello, welcome, then each message:
//	│   ├ offer   → offered    signature, nonce, owner's config, account → session
//	│   ├ ticket  → session    joins the relay again
//	│   ├ ended   → session    kill and forget
//	│   └ order   → session    kill, by a signed order
//	└ session.run
//	  ├ join                   one connection after another under one link.Endpoint
//	  └ command                parameters, process, streams, exit: the handler of the kind
//
// Sessions belong to the agent, not to a connection: they survive the loss of the control link, of their stream, and of
// the server, for as long as their grace lasts.
package agent
