package audit

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// CSVHeader names the columns of an export as CSV. Columns may be added at the end.
func CSVHeader() []string {
	return []string{
		"index", "id", "time", "org", "action", "outcome", "who", "who_id", "who_kind", "credential", "credential_id", "address",
		"on_type", "on", "on_id", "project", "instance", "session", "reason", "code", "request", "count", "details",
	}
}

// CSV writes events as comma-separated values with a header, for spreadsheets. It can't be verified.
type CSV struct {
	w     *csv.Writer
	begun bool
}

// NewCSV makes a CSV that writes to w.
func NewCSV(w io.Writer) *CSV { return &CSV{w: csv.NewWriter(w)} }

// Event writes one event; idx is below 0 for one without a place. Details are a JSON object.
func (c *CSV) Event(idx int64, body []byte) error {
	e, err := DecodeEvent(body)
	if err != nil {
		return err
	}
	if err := c.begin(); err != nil {
		return err
	}
	place, count, details := "", "", ""
	if idx >= 0 {
		place = strconv.FormatInt(idx, 10)
	}
	if e.Count > 0 {
		count = strconv.FormatInt(e.Count, 10)
	}
	if len(e.Details) > 0 {
		b, err := json.Marshal(e.Details)
		if err != nil {
			return fmt.Errorf("write details of event: %w", err)
		}
		details = string(b)
	}
	whoID := string(e.Who.User)
	if whoID == "" {
		whoID = string(e.Who.Instance)
	}
	row := []string{
		place, string(e.ID), e.Time.Format(time.RFC3339Nano), string(e.Org), e.Action, string(e.Outcome), e.Who.Name, whoID, string(e.Who.Kind),
		string(e.Who.Credential), e.Who.CredentialID, e.Who.Address, e.On.Type, e.On.Name, e.On.ID, string(e.On.Project), string(e.Instance),
		string(e.Session), e.Reason, string(e.Code), e.Request, count, details,
	}
	for i := range row {
		row[i] = sess.SpreadsheetText(row[i])
	}
	if err := c.w.Write(row); err != nil {
		return fmt.Errorf("write audit export: %w", err)
	}
	return nil
}

func (c *CSV) begin() error {
	if c.begun {
		return nil
	}
	c.begun = true
	if err := c.w.Write(CSVHeader()); err != nil {
		return fmt.Errorf("write audit export: %w", err)
	}
	return nil
}

// Close writes what is buffered. An export without events has its header.
func (c *CSV) Close() error {
	if err := c.begin(); err != nil {
		return err
	}
	c.w.Flush()
	if err := c.w.Error(); err != nil {
		return fmt.Errorf("write audit export: %w", err)
	}
	return nil
}
