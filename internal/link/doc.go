// Package link is one WebSocket that speaks wire, from dialling to close, and the Endpoint: one end of a session's
// streams, which outlives any number of connections.
//
// The layers, bottom up:
//
//	Server    what a client or agent knows of its server: URL and certificate pin
//	Dialer    TCP, proxy, TLS 1.3, WebSocket upgrade
//	Conn      frames on one connection: one write per frame, heartbeat, dead-peer detection
//	Endpoint  offsets, windows, credit, rounds and resume over one Conn after another
//
// The rules an Endpoint follows are in wire/PROTOCOL.md.
package link
