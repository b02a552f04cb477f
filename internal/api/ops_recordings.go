package api

import "net/http"

// The operations on shared and held recordings.
var (
	ShareRecording      = Op[RecordingShareIn, RecordingShare]{ID: "recording-share", Method: http.MethodPost, Path: "/v1/recordings/{session}/shares", Summary: "Share a recording with a user, a group or everybody in the organisation"}
	ListRecordingShares = Op[RecordingSharesIn, RecordingShareList]{ID: "recording-list-shares", Method: http.MethodGet, Path: "/v1/recording-shares", Summary: "List shared recordings"}
	UnshareRecording    = Op[RecordingShareRef, None]{ID: "recording-unshare", Method: http.MethodDelete, Path: "/v1/recordings/{session}/shares/{share}", Summary: "Take a shared recording back"}
	HoldRecording       = Op[HoldIn, Recording]{ID: "recording-hold", Method: http.MethodPost, Path: "/v1/recordings/{session}/hold", Summary: "Keep a recording until it is released"}
	ReleaseRecording    = Op[SessionRef, Recording]{ID: "recording-release", Method: http.MethodDelete, Path: "/v1/recordings/{session}/hold", Summary: "Release a recording that was held"}
	PathSharedData      = "/v1/recording-shares/{share}/data" // GET: as PathRecordingData, by whoever it was shared with
	PathRecordingLink   = "/r/{share}"                        // what people are given: a page that says how to open it
)
