package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/sessctl/sess/internal/sess"
)

// Client calls the API of one server. Its fields are set before the first call and not changed after.
type Client struct {
	Base   *url.URL     // https://host:port, without a path
	HTTP   *http.Client // its transport decides about certificates and proxies
	Bearer string       // login token or API key; empty: none
	Agent  string       // User-Agent
}

// Call calls op on c. A failure that the server explained is a *sess.Error; one on the way there is a *sess.Error of code
// unavailable that wraps the cause.
func Call[In, Out any](ctx context.Context, c *Client, op Op[In, Out], in In) (Out, error) {
	var out Out
	path, query, body, err := encode(op.Path, in)
	if err != nil {
		return out, err
	}
	resp, err := c.Do(ctx, op.Method, path, query, body)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	if _, none := any(out).(None); none {
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
		return out, err
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<20)).Decode(&out); err != nil {
		return out, sess.Wrap(err, sess.CodeUnavailable, "the server's answer to "+op.ID+" can't be read", "is something between you and it that answers in its place?")
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4096)) // read to its end, the connection serves again
	return out, nil
}

// Do sends one request and returns the response when its status is 2xx; the caller closes its body. path is escaped, as names
// in it may hold a slash; body is JSON, or nil.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, body []byte) (*http.Response, error) {
	u := *c.Base
	plain, err := url.PathUnescape(path)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	u.Path, u.RawPath, u.RawQuery = plain, path, query.Encode()
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), r)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.Bearer)
	}
	req.Header.Set("User-Agent", c.Agent)
	resp, err := c.HTTP.Do(req)
	if err != nil {
		var e *sess.Error // from the transport: a certificate that is not the pinned one, say
		if errors.As(err, &e) {
			return nil, e
		}
		return nil, sess.Wrap(err, sess.CodeUnavailable, "can't reach "+c.Base.Host, "check the address, the network and whether sess-server runs")
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, ReadProblem(resp)
}

// ReadProblem turns a response that is no success into the *sess.Error it carries.
func ReadProblem(resp *http.Response) error {
	var p Problem
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil || p.Code == "" {
		return sess.New(sess.CodeUnavailable, fmt.Sprintf("the server answered %s without an explanation", resp.Status),
			"is this a sess-server? a proxy in between may answer in its place")
	}
	e := sess.New(p.Code, p.Detail, p.Hint)
	if p.Code == sess.CodeInternal && p.Request != "" {
		e.Message += " (request " + p.Request + ")"
	}
	return e
}

// encode spreads in over path, query and body by its tags.
func encode(path string, in any) (string, url.Values, []byte, error) {
	query := url.Values{}
	var body []byte
	v := reflect.ValueOf(in)
	for _, f := range reflect.VisibleFields(v.Type()) {
		if f.Anonymous || !f.IsExported() {
			continue
		}
		fv := v.FieldByIndex(f.Index)
		if f.Name == "Body" && len(f.Index) == 1 {
			b, err := json.Marshal(fv.Interface())
			if err != nil {
				return "", nil, nil, fmt.Errorf("encode request: %w", err)
			}
			body = b
			continue
		}
		if name := f.Tag.Get("path"); name != "" {
			path = strings.Replace(path, "{"+name+"}", url.PathEscape(fmt.Sprint(fv.Interface())), 1)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("query"), ",")
		if name == "" || fv.IsZero() {
			continue
		}
		if fv.Kind() == reflect.Slice {
			for i := range fv.Len() {
				query.Add(name, fmt.Sprint(fv.Index(i).Interface()))
			}
			continue
		}
		query.Set(name, fmt.Sprint(fv.Interface()))
	}
	return path, query, body, nil
}
