// Package sess holds the words of sess that every room shares: identifiers, session kinds and their parameters, session
// states and end reasons, the principal, and coded errors.
//
// Nothing here is secret and nothing here does I/O. The package imports only the standard library, and every other
// package may import it.
package sess
