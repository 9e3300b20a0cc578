package propagator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"unicode"

	"github.com/google/uuid"
)

const maxMessage = 2048

// interpret says what is wrong with an answer; nil when nothing is.
func (c *Client) interpret(method, path string, resp *http.Response, body []byte, requestID string) *APIError {
	page := isHTML(resp.Header.Get("Content-Type"), body)
	if resp.StatusCode == http.StatusOK && !page {
		return nil
	}
	e := &APIError{Method: method, Path: path, StatusCode: resp.StatusCode, HTML: page, RequestID: requestID}
	if id := resp.Header.Get(headerReqID); id != "" {
		e.RequestID = c.scrub(oneLine(id, 128))
	}
	location := resp.Header.Get("Location")
	switch {
	case page:
		e.Message = "answered with a web page"
		if title := htmlTitle(body); title != "" {
			e.Message += fmt.Sprintf(" (%q)", title)
		}
		e.Message += ", not with the API"
	case resp.StatusCode >= 300 && resp.StatusCode < 400 && location != "":
		e.Message = fmt.Sprintf("redirects a %s to %q, which is not followed; use the address it points to", method, location)
	default:
		e.Message = ErrorMessage(body)
	}
	if final := resp.Request; final != nil && origin(final.URL) != c.base {
		e.Message += fmt.Sprintf(" (after a redirect to %s, where the token is not sent)", origin(final.URL))
	}
	e.Message = c.scrub(oneLine(e.Message, maxMessage))
	return e
}

// ErrorMessage finds the message in {"message"}, in {"error"}, or in plain text.
func ErrorMessage(body []byte) string {
	var shaped struct {
		Message string          `json:"message"`
		Error   json.RawMessage `json:"error"`
		Details json.RawMessage `json:"details"`
	}
	if json.Unmarshal(body, &shaped) == nil {
		message := shaped.Message
		if message == "" {
			var text string
			if json.Unmarshal(shaped.Error, &text) == nil {
				message = text
			}
		}
		if message != "" {
			if d := string(shaped.Details); d != "" && d != "null" && d != "{}" {
				message += ": " + d
			}
			return message
		}
	}
	return string(body)
}

func isHTML(contentType string, body []byte) bool {
	if mt, _, err := mime.ParseMediaType(contentType); err == nil && (mt == "text/html" || mt == "application/xhtml+xml") {
		return true
	}
	head := bytes.ToLower(bytes.TrimSpace(body[:min(len(body), 256)]))
	return bytes.HasPrefix(head, []byte("<!doctype html")) || bytes.HasPrefix(head, []byte("<html"))
}

var titleTag = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)

func htmlTitle(body []byte) string {
	m := titleTag.FindSubmatch(body[:min(len(body), 64<<10)])
	if m == nil {
		return ""
	}
	return oneLine(string(m[1]), 120)
}

// oneLine makes foreign text fit for an error: no control characters, no runs of space, not longer than limit bytes.
func oneLine(text string, limit int) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}

// decodeText reads an answer that is one string: bare, JSON-quoted, or in an object's id, action_id, cluster_id or
// data.id. All of these have been seen.
func decodeText(body []byte) (string, error) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return "", fmt.Errorf("empty answer")
	}
	var text string
	switch body[0] {
	case '"':
		if err := json.Unmarshal(body, &text); err != nil {
			return "", fmt.Errorf("answer %s is not a JSON string: %w", excerpt(body), err)
		}
	case '{':
		var object struct {
			ID        string `json:"id"`
			ActionID  string `json:"action_id"`
			ClusterID string `json:"cluster_id"`
			Data      struct {
				ID string `json:"id"`
			} `json:"data"`
		}
		if err := json.Unmarshal(body, &object); err != nil {
			return "", fmt.Errorf("answer %s is not an object with an id: %w", excerpt(body), err)
		}
		for _, candidate := range []string{object.ID, object.ActionID, object.ClusterID, object.Data.ID} {
			if candidate != "" {
				text = candidate
				break
			}
		}
	default:
		text = string(body)
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", fmt.Errorf("answer %s has no id in it", excerpt(body))
	}
	return text, nil
}

// decodeID is decodeText for a UUID, in its canonical lower-case form.
func decodeID(body []byte) (string, error) {
	text, err := decodeText(body)
	if err != nil {
		return "", err
	}
	id, err := parseID(text)
	if err != nil {
		return "", fmt.Errorf("answer %s is not an id", excerpt([]byte(text)))
	}
	return id, nil
}

// parseID accepts the 36 character form of a UUID alone; uuid.Parse takes urn: and {} forms too.
func parseID(text string) (string, error) {
	if len(text) != 36 {
		return "", fmt.Errorf("%s is not a UUID", excerpt([]byte(text)))
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return "", fmt.Errorf("%s is not a UUID", excerpt([]byte(text)))
	}
	return id.String(), nil
}

func excerpt(body []byte) string { return fmt.Sprintf("%q", oneLine(string(body), 100)) }

// text is decodeText of an answer, with the call in the error.
func (c *Client) text(k call, ans *answer, decode func([]byte) (string, error)) (string, error) {
	text, err := decode(ans.body)
	if err != nil {
		return "", fmt.Errorf("%s %s: %s", k.method, k.path, c.scrub(err.Error()))
	}
	return text, nil
}

// json decodes an answer into v, with the call in the error.
func (c *Client) json(k call, ans *answer, v any) error {
	if err := json.Unmarshal(ans.body, v); err != nil {
		return fmt.Errorf("decode answer to %s %s (%s): %s", k.method, k.path, ans.header.Get("Content-Type"),
			c.scrub(fmt.Sprintf("%v in %s", err, excerpt(ans.body))))
	}
	return nil
}
