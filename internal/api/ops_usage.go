package api

import "net/http"

// What sessions took.
var (
	ShowUsage = Op[UsageIn, Usage]{ID: "usage-show", Method: http.MethodGet, Path: "/v1/usage", Summary: "What sessions took: time, CPU, memory, bytes"}
)
