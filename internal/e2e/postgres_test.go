package e2e

import (
	"testing"

	"github.com/sessctl/sess/internal/store/storetest"
)

// postgresURL gives a database of a real PostgreSQL for one server.
func postgresURL(t *testing.T) string {
	t.Helper()
	return storetest.PostgresURL(t)
}
