package propagator

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// FuzzDecode: whatever a server answers, decoding neither panics, nor gives out an id that is none, nor puts the token
// or a control character into an error.
func FuzzDecode(f *testing.F) {
	const token = "canary-5f1b"
	for _, body := range []string{
		"", `"0b6c1f0e-6a0b-4a51-9d1b-1f2e3d4c5b6a"`, "0B6C1F0E-6a0b-4a51-9d1b-1f2e3d4c5b6a\n", `{"data":{"id":"x"}}`,
		`{"message":"m","code":"400","details":{"a":1}}`, `{"error":"e"}`, "<html><title>t</title>", `[{"action_id":null}]`,
		`{"status":"ready","details":null}`, "canary-5f1b", "\xff\x00", `{"message":"canary-5f1b\u0007"}`,
	} {
		f.Add(http.StatusOK, "text/plain", "", body)
		f.Add(http.StatusBadGateway, "text/html", "/elsewhere", body)
	}
	c, err := New("http://propagator.invalid", settings.Secret(token), WithPrefix("/v2"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, code int, contentType, location, body string) {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Location", location)
		w.Header().Set(headerReqID, body)
		resp := &http.Response{StatusCode: code, Header: w.Header(), Request: httptest.NewRequest(http.MethodGet, "http://other.invalid/", nil)}
		var errs []string
		if apiErr := c.interpret("GET", "/v2/x", resp, []byte(body), "id"); apiErr != nil {
			errs = append(errs, apiErr.Error(), c.statusError(call{}, apiErr, resp.Header).err.Error())
		}
		ans := &answer{header: http.Header{}, body: []byte(body)}
		k := call{method: "GET", path: "/x"}
		if id, err := c.text(k, ans, decodeID); err != nil {
			errs = append(errs, err.Error())
		} else if len(id) != 36 || strings.ToLower(id) != id {
			t.Errorf("took %q for an id: %q", body, id)
		}
		if _, err := c.text(k, ans, decodeText); err != nil {
			errs = append(errs, err.Error())
		}
		for _, into := range []any{new([]Action), new([]Checkpoint), new([]Cluster), new(Status), new(Action)} {
			if err := c.json(k, ans, into); err != nil {
				errs = append(errs, err.Error())
			}
			if rows, ok := into.(*[]Action); ok {
				for _, a := range *rows {
					_ = a.status()
				}
			}
		}
		for _, text := range errs {
			if strings.Contains(text, token) {
				t.Errorf("the token is in %q", text)
			}
			if strings.ContainsAny(text, "\x00\x07\x1b\n") || !utf8.ValidString(text) {
				t.Errorf("not fit to print: %q", text)
			}
			if len(text) > 3*maxMessage {
				t.Errorf("an error of %d bytes", len(text))
			}
		}
	})
}
