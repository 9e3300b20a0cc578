package contract

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// Where drift can be.
const (
	InOperation      = "operation"
	InPath           = "path parameter"
	InQuery          = "query parameter"
	InRequestType    = "request type"
	InRequestBody    = "request body"
	InResponseStatus = "response status"
	InResponseType   = "response type"
	InResponseBody   = "response body"
)

// Drift is one kind of difference between the document and what was seen. It has no values but those of enumerations.
type Drift struct {
	// Operation is a method and a path as the document has it, such as "GET /v2/checkpoint/status/{action_id}".
	Operation string `json:"operation"`
	// Where is one of the In constants.
	Where string `json:"where"`
	// Name is that of a parameter, a field of a body ("overrides.streams", "[].checkpoint_id"), or a status.
	Name string `json:"name"`
	// Document is what the document says, Seen what was seen.
	Document string `json:"document"`
	Seen     string `json:"seen"`
}

func (d Drift) String() string {
	text := d.Operation + ": " + d.Where
	if d.Name != "" {
		text += " " + d.Name
	}
	return text + ": " + d.Document + ", seen: " + d.Seen
}

func (d Drift) compare(e Drift) int {
	return cmp.Or(cmp.Compare(d.Operation, e.Operation), cmp.Compare(d.Where, e.Where), cmp.Compare(d.Name, e.Name),
		cmp.Compare(d.Document, e.Document), cmp.Compare(d.Seen, e.Seen))
}

// exchange is a request and its answer. Headers other than the types of the bodies are not in it.
type exchange struct {
	method      string
	url         *url.URL
	requestType string
	request     []byte
	// known says that request is what was sent.
	known        bool
	status       int
	responseType string
	response     []byte
	// whole says that the answer's body was read to its end.
	whole bool
}

// refused says that the propagator would not have the request.
func (e *exchange) refused() bool { return e.status/100 == 4 }

const notDeclared = "not declared"

// check gives the kinds of drift in one exchange, each once, and the name of its operation.
func (d *Document) check(e *exchange) (name string, all []Drift) {
	o, params := d.find(e.method, e.url.Path)
	if o == nil {
		name = unknown(e.method, e.url.Path)
		if e.status == http.StatusNotFound || e.status == http.StatusMethodNotAllowed {
			return name, nil // document and propagator agree
		}
		return name, []Drift{{Operation: name, Where: InOperation, Document: notDeclared, Seen: "answered " + strconv.Itoa(e.status)}}
	}
	c := &checker{document: d, operation: o, exchange: e}
	if !e.refused() {
		c.parameters(params)
		if e.known {
			c.request()
		}
	}
	c.response()
	slices.SortFunc(c.found, Drift.compare)
	return o.name(), slices.Compact(c.found)
}

type checker struct {
	document  *Document
	operation *operation
	exchange  *exchange
	found     []Drift
}

func (c *checker) add(where, name, document, seen string) {
	c.found = append(c.found, Drift{c.operation.name(), where, name, document, seen})
}

func (c *checker) parameters(params map[string]string) {
	e, o := c.exchange, c.operation
	declared := slices.Clone(o.spec.Parameters)
	for _, p := range o.item.Parameters {
		if declared.GetByInAndName(p.Value.In, p.Value.Name) == nil {
			declared = append(declared, p)
		}
	}
	input := &openapi3filter.RequestValidationInput{
		Request:    &http.Request{Method: e.method, URL: e.url, Header: http.Header{}},
		PathParams: params,
		Route:      &routers.Route{Spec: c.document.spec, Path: o.path, PathItem: o.item, Method: e.method, Operation: o.spec},
		Options:    &openapi3filter.Options{MultiError: true, SkipSettingDefaults: true, SchemaValidationOptions: formats},
	}
	where := map[string]string{openapi3.ParameterInPath: InPath, openapi3.ParameterInQuery: InQuery}
	for _, p := range declared {
		in, checked := where[p.Value.In]
		if !checked {
			continue // headers and cookies are not recorded: secrets are in them
		}
		if err := openapi3filter.ValidateParameter(context.Background(), input, p.Value); err != nil {
			document, seen := "valid", "not valid"
			if p.Value.Required && p.Value.In == openapi3.ParameterInQuery && !e.url.Query().Has(p.Value.Name) {
				document, seen = "required", "missing"
			} else if p.Value.Schema != nil {
				document, seen = describeSchema(p.Value.Schema.Value), "a value that is not"
			}
			c.add(in, p.Value.Name, document, seen)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.url.Query())) {
		if declared.GetByInAndName(openapi3.ParameterInQuery, name) == nil {
			c.add(InQuery, name, notDeclared, "sent")
		}
	}
}

func (c *checker) request() {
	e, body := c.exchange, c.operation.spec.RequestBody
	switch {
	case body == nil && len(e.request) > 0:
		c.add(InRequestBody, "", "no body", "a body")
	case body == nil:
	case len(e.request) == 0:
		if body.Value.Required {
			c.add(InRequestBody, "", "a body", "no body")
		}
	default:
		c.body(body.Value.Content, e.requestType, e.request, InRequestType, InRequestBody, openapi3.VisitAsRequest())
	}
}

func (c *checker) response() {
	e, responses := c.exchange, c.operation.spec.Responses
	ref := responses.Status(e.status)
	if ref == nil {
		ref = responses.Default()
	}
	if ref == nil || ref.Value == nil {
		statuses := slices.Sorted(maps.Keys(responses.Map()))
		c.add(InResponseStatus, strconv.Itoa(e.status), strings.Join(statuses, ", "), strconv.Itoa(e.status))
		return
	}
	if !e.whole {
		return
	}
	if len(ref.Value.Content) == 0 {
		return // a response without content says nothing of a body
	}
	c.body(ref.Value.Content, e.responseType, e.response, InResponseType, InResponseBody, openapi3.VisitAsResponse())
}

// body checks a body's type, and what is in it.
func (c *checker) body(content openapi3.Content, typ string, body []byte, inType, inBody string, as openapi3.SchemaValidationOption) {
	media := content.Get(typ)
	if media == nil {
		c.add(inType, c.status(inType), strings.Join(slices.Sorted(maps.Keys(content)), ", "), typeName(typ))
		return
	}
	if media.Schema == nil {
		return
	}
	var value any = string(body)
	if isJSON(typ) {
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.UseNumber()
		if err := decoder.Decode(&value); err != nil || decoder.Decode(new(any)) != io.EOF {
			c.add(inBody, "", "JSON", "not JSON")
			return
		}
	} else if !media.Schema.Value.Type.Permits(openapi3.TypeString) {
		return // a form or a binary type: no body of the API is one
	}
	options := append([]openapi3.SchemaValidationOption{openapi3.MultiErrors(), as}, formats...)
	if c.document.spec.IsOpenAPI31OrLater() {
		options = append(options, openapi3.EnableJSONSchema2020())
	}
	for _, v := range violations(media.Schema.Value.VisitJSON(value, options...), media.Schema.Value) {
		c.add(inBody, v.at, v.document, v.seen)
	}
	for _, at := range undeclared(media.Schema.Value, value) {
		c.add(inBody, at, notDeclared, "present")
	}
}

// status tells the answers of one operation apart.
func (c *checker) status(inType string) string {
	if inType == InRequestType {
		return ""
	}
	return strconv.Itoa(c.exchange.status)
}

func typeName(header string) string {
	if header == "" {
		return "none"
	}
	if name, _, err := mime.ParseMediaType(header); err == nil {
		return name
	}
	return "not a media type"
}

func isJSON(header string) bool {
	name := typeName(header)
	return name == "application/json" || strings.HasSuffix(name, "+json")
}

// formats that the library does not check by itself.
var formats = []openapi3.SchemaValidationOption{
	openapi3.WithStringFormatValidator("uuid", openapi3.NewRegexpFormatValidator(openapi3.FormatOfStringForUUIDOfRFC9562)),
}

// key is equal for exchanges of which the same is to be said.
func (e *exchange) key() string {
	return fmt.Sprintf("%s %s %s %t %d %s %t\n%s\n%s", e.method, e.url.RequestURI(), e.requestType, e.known, e.status, e.responseType, e.whole, e.request, e.response)
}
