// Package server assembles sess-server: it opens the store, makes the rooms, binds the HTTP API and the two WebSocket
// endpoints to them, and runs the listener. It holds no rules of its own: who may do what is decided behind the gate,
// and the handlers here only translate.
//
// New builds a server from a Config, Run serves until its context ends and then drains, Close releases what New took.
// The order in which things stop is: the listener, the links of agents and clients (they are told to come back), the
// recordings, the audit log, the store.
package server
