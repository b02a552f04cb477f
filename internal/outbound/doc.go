// Package outbound is how the server calls whom people named: signed webhooks and syslog, through a guard that keeps the
// address off this machine, its network and the cloud's own services unless the server's owner allows them.
//
// Whoever administers an organisation may choose where its events go, and does not thereby get to speak to what only the
// server can reach: the address is looked at when it is connected to, no redirect is followed, no proxy is used (it would
// take that decision away), and nothing of an answer but its status comes back.
package outbound
