// Package audit is the append-only log of what was asked, decided and done: the form of an event, the Merkle tree over
// the verbatim bytes of the events, signed checkpoints of that tree, the export file and its verification.
//
// There is one log per organisation, so that it can be handed to that organisation's auditor, and one for the box. An
// event is written in the transaction of what it reports; the Sequencer gives it its place in the tree right after.
// The package imports no database: what stores the rows is bound to it elsewhere, and sessctl links it to verify an
// exported log offline. docs/security/audit-log-format.md describes the formats for other programs.
package audit
