package api

import "net/http"

// The operations on alerts.
var (
	AddAlertHook    = Op[AlertHookIn, AlertHookAdded]{ID: "alert-add", Method: http.MethodPost, Path: "/v1/alerts", Summary: "Have a webhook told of what is unusual"}
	ListAlertHooks  = Op[None, AlertHookList]{ID: "alert-list", Method: http.MethodGet, Path: "/v1/alerts", Summary: "List the webhooks that are told of what is unusual"}
	GetAlertHook    = Op[IDRef, AlertHookShown]{ID: "alert-show", Method: http.MethodGet, Path: "/v1/alerts/{id}", Summary: "Show a webhook and the latest alerts for it"}
	TestAlertHook   = Op[IDRef, AlertTestOut]{ID: "alert-test", Method: http.MethodPost, Path: "/v1/alerts/{id}/test", Summary: "Send a webhook a test"}
	RemoveAlertHook = Op[IDRef, None]{ID: "alert-remove", Method: http.MethodDelete, Path: "/v1/alerts/{id}", Summary: "Remove a webhook"}
)
