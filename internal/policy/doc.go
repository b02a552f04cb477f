// Package policy answers one question: may this principal do this to that, and which rule says so.
//
// The built-in roles are Cedar policies that one can read (roles/*.cedar), checked against a Cedar schema
// (schema.cedarschema) when an Engine is made. People and machine users are judged by them; agents, the server itself
// and the box's owner by a fixed table (fixed.go). What no rule allows is denied, an organisation is never crossed, and
// a rule that fails at run time makes the decision a denial.
//
// The package is pure: no I/O, no clock, no database. The gate gives it what it needs to know.
package policy
