package server

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// Limits on requests.
const (
	maxSmallBody = 64 << 10         // bytes of the body of most operations
	bodyTimeout  = 30 * time.Second // to send a body
)

// output is how huma wants an answer with a body.
type output[Out any] struct{ Body Out }

type principalKey struct{}

// bind puts handler behind op: rate limit or authentication, limits, decoding, problem documents. The handler of a
// public operation gets a principal that has an address and a request id, and nothing else.
func bind[In, Out any](s *Server, op api.Op[In, Out], handler func(context.Context, sess.Principal, In) (Out, error)) {
	h := s.operation(op.ID, op.Method, op.Path, op.Summary, op.Public)
	if _, none := any(*new(Out)).(api.None); none {
		h.DefaultStatus = http.StatusNoContent
		huma.Register(s.api, h, func(ctx context.Context, in *In) (*struct{}, error) {
			_, err := handler(ctx, principalOf(ctx), *in)
			return nil, s.explain(ctx, err)
		})
		return
	}
	h.DefaultStatus = http.StatusOK
	huma.Register(s.api, h, func(ctx context.Context, in *In) (*output[Out], error) {
		out, err := handler(ctx, principalOf(ctx), *in)
		if err != nil {
			return nil, s.explain(ctx, err)
		}
		return &output[Out]{Body: out}, nil
	})
}

func principalOf(ctx context.Context) sess.Principal {
	p, _ := ctx.Value(principalKey{}).(sess.Principal)
	return p
}

// operation makes huma's description of an operation, with its guards.
func (s *Server) operation(id, method, path, summary string, public bool) huma.Operation {
	s.bound = append(s.bound, id)
	h := huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary,
		MaxBodyBytes: maxSmallBody, BodyReadTimeout: bodyTimeout,
		Responses: map[string]*huma.Response{"default": s.problemResponse()},
	}
	switch id {
	case api.StartSession.ID:
		h.MaxBodyBytes = api.MaxBody
	case api.PutPolicy.ID, api.TestPolicy.ID:
		h.MaxBodyBytes = api.MaxPolicyBody
	case api.CreateIDP.ID, api.PatchIDP.ID:
		h.MaxBodyBytes = api.MaxIDPBody
	}
	if public {
		limit := s.publicRate
		if slices.Contains([]string{api.Login.ID, api.Accept.ID, api.StartDevice.ID, api.ForgotPassword.ID, api.ResetPassword.ID}, id) {
			limit = s.passwordRate
		}
		h.Middlewares = huma.Middlewares{s.limited(limit)}
		h.Security = []map[string][]string{}
		return h
	}
	h.Middlewares = huma.Middlewares{s.authenticated}
	// One member who asks again and again must not take the places to hash at from everybody, nor fill the tables with logins.
	if id == api.ChangePassword.ID || id == api.UseOrg.ID {
		h.Middlewares = huma.Middlewares{s.limited(s.passwordRate), s.authenticated}
	}
	h.Security = []map[string][]string{{"bearer": {}}}
	return h
}

// limited is the guard of public operations.
func (s *Server) limited(limit *rateLimiter) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		req := requestOf(ctx.Context())
		if wait, ok := limit.allow(req.addr, s.now()); !ok {
			s.refused(ctx.Context(), req.addr, sess.CodeLimited)
			secs := int(wait/time.Second) + 1
			ctx.SetHeader("Retry-After", strconv.Itoa(secs))
			s.fail(ctx, sess.New(sess.CodeLimited, "too many requests from your address", "try again in "+strconv.Itoa(secs)+" s"))
			return
		}
		next(huma.WithValue(ctx, principalKey{}, sess.Principal{Addr: req.addr, RequestID: req.id}))
	}
}

// authenticated is the guard of all other operations: it runs before the body is read.
func (s *Server) authenticated(ctx huma.Context, next func(huma.Context)) {
	req := requestOf(ctx.Context())
	who, err := s.authenticate(ctx.Context(), req, ctx.Header("Authorization"))
	if err != nil {
		s.fail(ctx, err)
		return
	}
	next(huma.WithValue(ctx, principalKey{}, who))
}

// authenticate gives the principal whose login token or API key the header carries.
func (s *Server) authenticate(ctx context.Context, req request, authorization string) (sess.Principal, error) {
	bearer, err := bearerOf(authorization)
	if err != nil {
		s.refused(ctx, req.addr, sess.CodeUnauthenticated)
		return sess.Principal{}, err
	}
	who, err := s.auth.Authenticate(ctx, bearer, req.addr)
	if err != nil {
		return sess.Principal{}, err
	}
	s.strangers.known(req.remote)
	who.RequestID = req.id
	return who, nil
}

func bearerOf(authorization string) (string, error) {
	scheme, bearer, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") || bearer == "" {
		return "", sess.New(sess.CodeUnauthenticated, "this needs a login", "run sessctl login, or set SESSCTL_API_KEY")
	}
	return strings.TrimSpace(bearer), nil
}

// fail answers with a problem document from within a guard.
func (s *Server) fail(ctx huma.Context, err error) {
	req := requestOf(ctx.Context())
	p := problemError{s.problem(req, err)}
	ctx.SetHeader("Content-Type", "application/problem+json")
	ctx.SetStatus(p.Status)
	_ = s.api.Marshal(ctx.BodyWriter(), "application/json", p.Problem) // the client may be gone
}

// explain turns a handler's error into what huma writes as our problem document.
func (s *Server) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return problemError{s.problem(requestOf(ctx), err)}
}

// problemError is a problem document in the shape huma wants errors in.
type problemError struct{ *api.Problem }

// Error implements error.
func (p problemError) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p problemError) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p problemError) ContentType(string) string { return "application/problem+json" }

// translate is huma's last step before encoding: it turns huma's own errors (a body that is no JSON, a value out of
// bounds) into our problem documents. The offending values stay out of them: one may be a password.
func (s *Server) translate(ctx huma.Context, _ string, v any) (any, error) {
	switch e := v.(type) {
	case problemError:
		return e.Problem, nil
	case *huma.ErrorModel:
		code := sess.CodeInvalid
		hint := "docs/reference/openapi.json describes what is expected"
		switch {
		case e.Status == http.StatusRequestEntityTooLarge:
			code, hint = sess.CodeTooLarge, ""
		case e.Status >= http.StatusInternalServerError:
			return s.problem(requestOf(ctx.Context()), errors.New(e.Detail)), nil
		}
		p := api.NewProblem(sess.New(code, complaint(e), hint), requestOf(ctx.Context()).id)
		p.Status, p.Title = e.Status, http.StatusText(e.Status)
		return p, nil
	}
	return v, nil
}

func complaint(e *huma.ErrorModel) string {
	msg := e.Detail
	for i, d := range e.Errors {
		if d == nil {
			continue
		}
		if i == 3 { // the first ones say enough
			break
		}
		msg += ": " + d.Message
		if d.Location != "" {
			msg += " (" + d.Location + ")"
		}
	}
	return msg
}

// Bound lists the ids of the operations that have a handler, sorted.
func (s *Server) Bound() []string { return slices.Sorted(slices.Values(s.bound)) }
