package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/sessctl/sess/internal/api"
)

// apiVersion is the version of the HTTP API in its OpenAPI document: the path prefix says the same.
const apiVersion = "1"

// newAPI makes huma's side of the API on mux: JSON only, our problem documents, no routes of its own.
func (s *Server) newAPI(mux *http.ServeMux) huma.API {
	cfg := huma.DefaultConfig("sess-server", apiVersion)
	cfg.Info.Description = "The HTTP API of sess-server. Failures are RFC 9457 problem documents. Streams (WebSockets, downloads) are described in internal/wire/PROTOCOL.md."
	cfg.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "", "", ""
	cfg.AllowAdditionalPropertiesByDefault = true // neighbouring versions work together
	cfg.CreateHooks = nil                         // no $schema in bodies, no Link headers
	cfg.Transformers = []huma.Transformer{s.translate}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "A login token or an API key"},
	}
	return humago.New(mux, cfg)
}

// problemResponse describes a failure of any operation.
func (s *Server) problemResponse() *huma.Response {
	schema := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[api.Problem](), true, "Problem")
	return &huma.Response{
		Description: "Failure",
		Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: schema}},
	}
}

// OpenAPI gives the OpenAPI 3.1 document of the operations that are bound, indented, as docs/reference/openapi.json has
// it.
func (s *Server) OpenAPI() ([]byte, error) {
	doc := s.api.OpenAPI()
	for _, unused := range []string{"ErrorModel", "ErrorDetail"} { // huma's own errors, which translate replaces
		delete(doc.Components.Schemas.Map(), unused)
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode OpenAPI document: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return nil, fmt.Errorf("indent OpenAPI document: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}
