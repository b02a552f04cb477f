package server_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/store/storetest"
)

// One id names a request in the header, in the problem document, in the audit log; and every event of a request has one, those
// too that were written before anybody was known.
func TestRequestIDsAreEverywhere(t *testing.T) {
	cfg := config(t, storetest.Dir(t))
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, stop := start(t, cfg)
	c := accept(t, s)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.Base.String()+"/v1/instances/nothing", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Bearer)
	resp, err := c.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var p api.Problem
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	id := resp.Header.Get("X-Request-Id")
	if !strings.HasPrefix(id, "req_") || p.Request != id {
		t.Errorf("header %q, document %q", id, p.Request)
	}
	list, err := api.Call(t.Context(), c, api.ListAudit, api.AuditIn{})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, item := range list.Items {
		e, err := audit.DecodeEvent(item.Raw)
		if err != nil {
			t.Fatal(err)
		}
		if e.Request == "" && e.Who.Credential != "system" {
			t.Errorf("%s by %s has no request id", e.Action, e.Who.Name)
		}
		found = found || e.Request == id
	}
	if !found {
		t.Errorf("no event has the request id %s", id)
	}
	stop()
	if !strings.Contains(log.String(), id) {
		t.Error("the server's log does not name the request")
	}
}
