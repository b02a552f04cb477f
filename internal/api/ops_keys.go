package api

import "net/http"

// The operations on API keys and machine users that are not in ops.go.
var (
	RotateKey     = Op[KeyRotateIn, Key]{ID: "key-rotate", Method: http.MethodPost, Path: "/v1/keys/{id}/rotate", Summary: "Replace an API key by a new one; the old one runs out"}
	CreateMachine = Op[MachineIn, Machine]{ID: "machine-create", Method: http.MethodPost, Path: "/v1/machines", Summary: "Make a machine user"}
)
