package audit

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// OCSFVersion is the version of the Open Cybersecurity Schema Framework that events are written in.
const OCSFVersion = "1.3.0"

// The classes of OCSF that events become, with their categories in front: category_uid is class_uid / 1000.
const (
	ocsfAccountChange    = 3001
	ocsfAuthentication   = 3002
	ocsfEntityManagement = 3004
	ocsfAPIActivity      = 6003
)

const ocsfOther = 99 // of any activity

// OCSF writes events as OCSF, one JSON object a line.
type OCSF struct {
	w       *bufio.Writer
	enc     *json.Encoder
	product string
}

// NewOCSF makes an OCSF that writes to w; version is that of the server.
func NewOCSF(w io.Writer, version string) *OCSF {
	b := bufio.NewWriterSize(w, ioBuffer)
	return &OCSF{w: b, enc: newEncoder(b), product: version}
}

// Event writes one event; idx is below 0 for one without a place.
func (o *OCSF) Event(idx int64, body []byte) error {
	v, err := ToOCSF(idx, body, o.product)
	if err != nil {
		return err
	}
	if err := o.enc.Encode(v); err != nil {
		return fmt.Errorf("write audit export: %w", err)
	}
	return nil
}

// Close writes what is buffered.
func (o *OCSF) Close() error {
	if err := o.w.Flush(); err != nil {
		return fmt.Errorf("write audit export: %w", err)
	}
	return nil
}

type ocsfProduct struct {
	Name    string `json:"name"`
	Vendor  string `json:"vendor_name"`
	Version string `json:"version,omitempty"`
}

type ocsfMetadata struct {
	Version      string      `json:"version"`
	Product      ocsfProduct `json:"product"`
	UID          string      `json:"uid"`
	Code         string      `json:"event_code"`
	LogName      string      `json:"log_name"`
	Sequence     *int64      `json:"sequence,omitempty"`
	Correlation  string      `json:"correlation_uid,omitempty"`
	Tenant       string      `json:"tenant_uid,omitempty"`
	OriginalTime string      `json:"original_time"`
}

type ocsfUser struct {
	UID        string `json:"uid,omitempty"`
	Name       string `json:"name,omitempty"`
	Type       string `json:"type,omitempty"`
	TypeID     int    `json:"type_id,omitempty"`
	Credential string `json:"credential_uid,omitempty"`
}

type ocsfNamed struct {
	UID  string `json:"uid,omitempty"`
	Name string `json:"name,omitempty"`
	Type string `json:"type,omitempty"`
	IP   string `json:"ip,omitempty"`
}

type ocsfActor struct {
	User    *ocsfUser `json:"user,omitempty"`
	AppName string    `json:"app_name,omitempty"`
	AppUID  string    `json:"app_uid,omitempty"`
}

type ocsfAPI struct {
	Operation string            `json:"operation"`
	Service   ocsfNamed         `json:"service"`
	Request   map[string]string `json:"request,omitempty"`
	Response  map[string]string `json:"response,omitempty"`
}

// OCSFEvent is an event in OCSF. What OCSF has no word for is in Unmapped, and the verbatim event in RawData.
type OCSFEvent struct {
	ActivityID   int               `json:"activity_id"`
	ActivityName string            `json:"activity_name"`
	CategoryUID  int               `json:"category_uid"`
	ClassUID     int               `json:"class_uid"`
	TypeUID      int               `json:"type_uid"`
	Time         int64             `json:"time"` // milliseconds
	SeverityID   int               `json:"severity_id"`
	StatusID     int               `json:"status_id"`
	Status       string            `json:"status"`
	StatusCode   string            `json:"status_code,omitempty"`
	StatusDetail string            `json:"status_detail,omitempty"`
	Message      string            `json:"message"`
	Count        int64             `json:"count,omitempty"`
	Metadata     ocsfMetadata      `json:"metadata"`
	Actor        *ocsfActor        `json:"actor,omitempty"`
	User         *ocsfUser         `json:"user,omitempty"`
	SrcEndpoint  *ocsfNamed        `json:"src_endpoint,omitempty"`
	Service      *ocsfNamed        `json:"service,omitempty"`
	Entity       *ocsfNamed        `json:"entity,omitempty"`
	API          *ocsfAPI          `json:"api,omitempty"`
	Resources    []ocsfNamed       `json:"resources,omitempty"`
	Unmapped     map[string]string `json:"unmapped,omitempty"`
	RawData      string            `json:"raw_data"`
}

// ToOCSF writes an event in OCSF; idx is below 0 for one without a place, version is the server's.
func ToOCSF(idx int64, body []byte, version string) (OCSFEvent, error) {
	e, err := DecodeEvent(body)
	if err != nil {
		return OCSFEvent{}, err
	}
	k := ocsfKind(e)
	v := OCSFEvent{
		ActivityID: k.activity, ActivityName: k.name, ClassUID: k.class, CategoryUID: k.class / 1000, TypeUID: k.class*100 + k.activity,
		Time: e.Time.UnixMilli(), SeverityID: 1, StatusID: 1, Status: "Success", StatusCode: string(e.Code), StatusDetail: e.Reason, Count: e.Count,
		Message: strings.TrimSpace(strings.Join([]string{named(e.Who.Name, "somebody"), e.Action, e.On.Name, string(e.Outcome)}, " ")),
		Metadata: ocsfMetadata{
			Version: OCSFVersion, Product: ocsfProduct{Name: "sess", Vendor: "sess", Version: version}, UID: string(e.ID), Code: e.Action,
			LogName: LogOf(e.Org), Correlation: e.Request, Tenant: string(e.Org), OriginalTime: e.Time.Format(time.RFC3339Nano),
		},
		Actor: actorOf(e), SrcEndpoint: sourceOf(e), Unmapped: unmapped(e), RawData: string(body),
	}
	if idx >= 0 {
		v.Metadata.Sequence = &idx
	}
	if e.Outcome != Allowed {
		v.SeverityID, v.StatusID, v.Status = 2, 2, "Failure"
	}
	service, thing := ocsfNamed{Name: "sess-server"}, ocsfNamed{UID: e.On.ID, Name: named(e.On.Name, e.On.ID), Type: e.On.Type}
	if thing.Name == "" {
		thing.Name = named(e.On.Type, "unknown")
	}
	switch k.class {
	case ocsfAuthentication:
		v.Service, v.User = &service, userOf(e)
	case ocsfAccountChange:
		if v.User = userOf(e); e.On.Type == "user" && e.On.ID != "" {
			v.User = &ocsfUser{UID: e.On.ID, Name: e.On.Name}
		}
	case ocsfEntityManagement:
		v.Entity = &thing
	default:
		v.API = &ocsfAPI{Operation: e.Action, Service: service}
		if e.Request != "" {
			v.API.Request = map[string]string{"uid": e.Request}
		}
		if e.Code != "" {
			v.API.Response = map[string]string{"error": string(e.Code), "error_message": e.Reason}
		}
		if e.On.ID != "" {
			v.Resources = []ocsfNamed{thing}
		}
	}
	return v, nil
}

func named(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// userOf gives who acted, or tried to.
func userOf(e Event) *ocsfUser {
	u := &ocsfUser{UID: string(e.Who.User), Name: e.Who.Name, Credential: e.Who.CredentialID, TypeID: 1, Type: "User"}
	if e.Who.Credential == sess.CredentialSystem || e.Who.Credential == sess.CredentialAdmin {
		u.TypeID, u.Type = 3, "System"
	}
	if u.UID == "" && u.Name == "" {
		u.Name, u.TypeID, u.Type = "unknown", 0, "Unknown"
	}
	return u
}

func actorOf(e Event) *ocsfActor {
	if e.Who.Instance != "" {
		return &ocsfActor{AppName: "sess-agent", AppUID: string(e.Who.Instance)}
	}
	return &ocsfActor{User: userOf(e)}
}

func sourceOf(e Event) *ocsfNamed {
	switch {
	case e.Who.Address != "":
		return &ocsfNamed{IP: e.Who.Address}
	case e.Who.Instance != "":
		return &ocsfNamed{UID: string(e.Who.Instance), Name: e.Who.Name}
	}
	return &ocsfNamed{Name: "sess-server"}
}

// unmapped is what OCSF has no attribute for.
func unmapped(e Event) map[string]string {
	m := map[string]string{}
	for k, v := range e.Details {
		m["detail."+k] = v
	}
	for k, v := range map[string]string{
		"action": e.Action, "outcome": string(e.Outcome), "session": string(e.Session), "instance": string(e.Instance), "project": string(e.On.Project),
		"credential": string(e.Who.Credential), "who_kind": string(e.Who.Kind),
	} {
		if v != "" {
			m[k] = v
		}
	}
	return m
}
