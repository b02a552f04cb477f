package api

import "net/http"

// Identity providers, and logins by a browser.
var (
	CreateIDP = Op[IDPIn, IDP]{ID: "idp-create", Method: http.MethodPost, Path: "/v1/idps", Summary: "Set up an identity provider"}
	ListIDPs  = Op[None, IDPList]{ID: "idp-list", Method: http.MethodGet, Path: "/v1/idps", Summary: "List identity providers"}
	GetIDP    = Op[IDPRef, IDP]{ID: "idp-show", Method: http.MethodGet, Path: "/v1/idps/{idp}", Summary: "Show an identity provider and what to register there"}
	PatchIDP  = Op[IDPPatchIn, IDP]{ID: "idp-change", Method: http.MethodPatch, Path: "/v1/idps/{idp}", Summary: "Change an identity provider"}
	RemoveIDP = Op[IDPRef, None]{ID: "idp-remove", Method: http.MethodDelete, Path: "/v1/idps/{idp}", Summary: "Remove an identity provider; whom it sent is deactivated"}
	TestIDP   = Op[IDPRef, IDPTestOut]{ID: "idp-test", Method: http.MethodPost, Path: "/v1/idps/{idp}/test", Summary: "Try an identity provider, as far as that goes without a person"}

	StartDevice = Op[DeviceIn, DeviceOut]{ID: "login-device", Method: http.MethodPost, Path: "/v1/login/device", Summary: "Begin a login that ends in any browser, by a code", Public: true}
	RedeemLogin = Op[RedeemIn, RedeemOut]{ID: "login-redeem", Method: http.MethodPost, Path: "/v1/login/redeem", Summary: "Fetch the login that a browser was used for", Public: true}
)
