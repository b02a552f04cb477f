// Package identity turns credentials into principals: passwords into logins, logins and API keys into who is asking,
// enrolment tokens into instances. It also keeps what they stand for: people, keys, tokens, instances.
//
// Every verb that takes a principal begins with the gate, which decides and writes the audit event in the transaction of
// the change. The public verbs (Login, Accept, Enrol) pass the gate as the principal they are about to become, and what
// fails before that is a coalesced refusal in the audit log.
//
// Secrets are kept as hashes only: tokens as SHA-256, passwords as argon2id. What may be used once is used up by a
// conditional update in the transaction that gives what it is good for.
package identity
