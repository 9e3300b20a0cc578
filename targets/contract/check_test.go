package contract

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const id = "7a3c1b9e-6a55-4bb0-9a40-0c2f1d3e4b5a"

func load(t *testing.T, file string) *Document {
	t.Helper()
	d, err := Load(filepath.Join("testdata", file))
	require.NoError(t, err)
	return d
}

// said is an exchange with JSON in the request and in an answer that begins like JSON.
func said(t *testing.T, method, address, request string, status int, response string) *exchange {
	t.Helper()
	u, err := url.Parse("http://propagator" + address)
	require.NoError(t, err)
	e := &exchange{method: method, url: u, request: []byte(request), known: true, status: status, response: []byte(response), whole: true}
	if request != "" {
		e.requestType = "application/json"
	}
	e.responseType = "text/plain; charset=utf-8"
	if response != "" && (response[0] == '{' || response[0] == '[') {
		e.responseType = "application/json"
	}
	return e
}

const action = `"action_id":"` + id + `","checkpoint_id":"` + id + `","status":"ready"`

// Both versions of OpenAPI say the same of the same exchanges.
func TestDrift(t *testing.T) {
	t.Parallel()
	type drift struct{ where, name, document, seen string }
	for _, document := range []string{"api-3.0.yaml", "api-3.1.json"} {
		d := load(t, document)
		for _, c := range []struct {
			name, method, address, request string
			status                         int
			response                       string
			want                           []drift
		}{
			{"what is documented is none", "POST", "/v2/checkpoint/pod", `{"pod_id":"` + id + `","kind":"simple","overrides":{"streams":4}}`, 200, id, nil},
			{"null where it may be", "POST", "/v2/checkpoint/pod", `{"pod_id":"` + id + `","kind":null,"overrides":null}`, 200, id, nil},
			{"the other version", "GET", "/v1/user", "", 200, id, nil},
			{"details of any form", "GET", "/v2/actions", "", 200, `[{` + action + `,"details":{"a":[1]},"node":null}]`, nil},
			{"an undeclared field of a request", "POST", "/v1/checkpoint/pod", `{"pod_id":"` + id + `","runc_root":"/run"}`, 200, id,
				[]drift{{InRequestBody, "runc_root", "not declared", "present"}}},
			{"an undeclared field deeper down", "POST", "/v1/checkpoint/pod", `{"pod_id":"` + id + `","overrides":{"speed":1}}`, 200, id,
				[]drift{{InRequestBody, "overrides.speed", "not declared", "present"}}},
			{"a field that is missing", "POST", "/v1/checkpoint/pod", `{}`, 200, id, []drift{{InRequestBody, "pod_id", "required", "missing"}}},
			{"no body", "POST", "/v1/checkpoint/pod", ``, 200, id, []drift{{InRequestBody, "", "a body", "no body"}}},
			{"a body that none is documented for", "GET", "/v1/actions", `{}`, 200, `[]`, []drift{{InRequestBody, "", "no body", "a body"}}},
			{"a request that is refused as documented", "POST", "/v1/checkpoint/pod", `{"pod_`, 400, `{"message":"no"}`, nil},
			{"a refusal in another form", "POST", "/v1/checkpoint/pod", `{"pod_`, 400, `{"error":"no"}`,
				[]drift{{InResponseBody, "error", "not declared", "present"}, {InResponseBody, "message", "required", "missing"}}},
			{"a status that is not documented", "GET", "/v1/user", "", 401, `{"message":"no"}`, []drift{{InResponseStatus, "401", "200", "401"}}},
			{"another type of body", "GET", "/v1/user", "", 200, `{"id":"x"}`, []drift{{InResponseType, "200", "text/plain", "application/json"}}},
			{"text that is no id", "GET", "/v1/user", "", 200, "secret", []drift{{InResponseBody, "", "string (uuid)", "string"}}},
			{"an empty id in a list", "GET", "/v1/actions", "", 200, `[{"action_id":"` + id + `","checkpoint_id":"","status":"ready"}]`,
				[]drift{{InResponseBody, "[].checkpoint_id", "string (uuid)", "empty string"}}},
			{"a word that the enumeration has not", "GET", "/v1/actions", "", 200, `[{"action_id":"` + id + `","checkpoint_id":"` + id + `","status":"gone"}]`,
				[]drift{{InResponseBody, "[].status", "one of ready, error", "gone"}}},
			{"another kind of value", "GET", "/v1/actions", "", 200, `[{` + action + `,"node":7}]`, []drift{{InResponseBody, "[].node", "string or null", "number"}}},
			{"the same twice is one kind", "GET", "/v1/actions", "", 200, `[{` + action + `,"x":1},{` + action + `,"x":2}]`,
				[]drift{{InResponseBody, "[].x", "not declared", "present"}}},
			{"half an answer", "GET", "/v1/actions", "", 200, `[{`, []drift{{InResponseBody, "", "JSON", "not JSON"}}},
			{"an undeclared query parameter", "GET", "/v1/actions?status=ready", "", 200, `[]`, []drift{{InQuery, "status", "not declared", "sent"}}},
			{"a query parameter of another type", "GET", "/v1/actions?limit=many", "", 200, `[]`, []drift{{InQuery, "limit", "integer", "a value that is not"}}},
		} {
			t.Run(document+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				_, found := d.check(said(t, c.method, c.address, c.request, c.status, c.response))
				var got []drift
				for _, f := range found {
					got = append(got, drift{f.Where, f.Name, f.Document, f.Seen})
				}
				require.Equal(t, c.want, got)
			})
		}
	}
}

func TestAnOperationThatTheDocumentDoesNotHave(t *testing.T) {
	t.Parallel()
	d := load(t, "api-3.1.json")
	name, found := d.check(said(t, "GET", "/v1/other/"+id, "", 200, "x"))
	require.Equal(t, "GET /v1/other/{id}", name)
	require.Equal(t, []Drift{{Operation: name, Where: InOperation, Document: "not declared", Seen: "answered 200"}}, found)
	_, found = d.check(said(t, "GET", "/v1/other/"+id, "", http.StatusNotFound, `{"message":"no"}`))
	require.Empty(t, found)
}

func TestTheOperationWithMoreFixedPartsIsMeantAndTheLastParameterTakesTheRest(t *testing.T) {
	t.Parallel()
	d := load(t, "api-3.1.json")
	for address, want := range map[string]string{
		"/v2/files/a/b/c":   "GET /v2/files/{path}",
		"/v2/files/dir/a/b": "GET /v2/files/dir/{path}",
		"/v1/files/dir":     "GET /v2/files/{path}",
	} {
		o, _ := d.find("GET", address)
		require.NotNil(t, o, address)
		require.Equal(t, want, o.name())
	}
	_, found := d.check(said(t, "GET", "/v2/checkpoint/status/first", "", 200, `{"any":1}`))
	require.Equal(t, []Drift{{"GET /v2/checkpoint/status/{id}", InPath, "id", "string (uuid)", "a value that is not"}}, found)
}

func TestADocumentThatCannotBeUsedIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ content, want string }{
		"not a document":           {"]", "parse OpenAPI document"},
		"Swagger":                  {`{"swagger":"2.0","paths":{"/user":{}}}`, `its version is "", want 3.0 or 3.1`},
		"another API":              {`{"openapi":"3.1.0","info":{"title":"x","version":"1"},"paths":{"/pets":{}}}`, "none of the paths that a run uses"},
		"a reference into nothing": {`{"openapi":"3.1.0","paths":{"/user":{"get":{"responses":{"200":{"$ref":"#/components/responses/Gone"}}}}}}`, "parse OpenAPI document"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "openapi.json")
			require.NoError(t, os.WriteFile(file, []byte(c.content), 0o600))
			_, err := Load(file)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := Load(filepath.Join(t.TempDir(), "none.json"))
	require.ErrorContains(t, err, "read OpenAPI document")
}
