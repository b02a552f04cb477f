package api

import "net/http"

// Who is in a session beside its owner.
var (
	JoinSession = Op[JoinIn, JoinOut]{ID: "session-join", Method: http.MethodPost, Path: "/v1/sessions/{session}/join", Summary: "Join a session of somebody else, or one's own from elsewhere"}
	AwaitAnswer = Op[ParticipantRef, JoinOut]{ID: "session-await", Method: http.MethodPost, Path: "/v1/sessions/{session}/participants/{participant}/await", Summary: "Wait a moment for the owner's answer, and get a ticket with it"}
	AnswerAsk   = Op[AnswerIn, SessionParticipant]{ID: "session-answer", Method: http.MethodPost, Path: "/v1/sessions/{session}/participants/{participant}/answer", Summary: "Let somebody who asks into one's session, or not"}
	KickGuest   = Op[KickIn, KickOut]{ID: "session-kick", Method: http.MethodPost, Path: "/v1/sessions/{session}/kick", Summary: "Put somebody out of a session"}

	ShareSession   = Op[ShareIn, Share]{ID: "session-share", Method: http.MethodPost, Path: "/v1/sessions/{session}/shares", Summary: "Share a session with somebody, or make a link that lets one person in"}
	ListShares     = Op[SessionRef, ShareList]{ID: "session-shares", Method: http.MethodGet, Path: "/v1/sessions/{session}/shares", Summary: "List with whom a session is shared"}
	UnshareSession = Op[UnshareIn, None]{ID: "session-unshare", Method: http.MethodPost, Path: "/v1/sessions/{session}/unshare", Summary: "Take back what was shared; who is there by it has to go"}
	OpenShare      = Op[OpenShareIn, Share]{ID: "share-open", Method: http.MethodPost, Path: "/v1/shares/open", Summary: "Open a link to a session: it is shared with who asks, then"}
)
