// Package contract checks what a client and the propagator say to each other against an OpenAPI document (3.0 or 3.1).
//
// Drift is what the document does not say, even where its schemas technically allow it: an undeclared query parameter or
// field of a body is one. What the propagator refuses (4xx) is not held against the request, as tests send what is
// malformed on purpose; the refusal itself is checked.
package contract

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Document is an OpenAPI document of the propagator's API.
type Document struct {
	// File is the name of its file, without directories.
	File       string
	spec       *openapi3.T
	operations []*operation
}

// operation is one of the document's, at one of its servers.
type operation struct {
	method string
	// path is as in the document; version is the prefix of the address, such as /v2, and segments what comes after it.
	path     string
	version  string
	segments []string
	item     *openapi3.PathItem
	spec     *openapi3.Operation
}

// name is the operation as reports and docs/openapi-drift.md spell it.
func (o *operation) name() string { return o.method + " " + o.path }

// used are paths of the API that every run asks for. A document that has none of them is another API's.
var used = []string{"/user", "/cluster", "/checkpoint/pod", "/checkpoint/status/{}", "/restore/pod", "/actions", "/checkpoints"}

// Load reads a document in JSON or YAML. References must be inside it. What does not matter for a check, such as a
// license without a name, is not held against it.
func Load(path string) (*Document, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read OpenAPI document: %w", err)
	}
	spec, err := openapi3.NewLoader().LoadFromData(content)
	if err != nil {
		return nil, fmt.Errorf("parse OpenAPI document %s: %w", path, err)
	}
	if !strings.HasPrefix(spec.OpenAPI, "3.0.") && !strings.HasPrefix(spec.OpenAPI, "3.1.") {
		return nil, fmt.Errorf("parse OpenAPI document %s: its version is %q, want 3.0 or 3.1", path, spec.OpenAPI)
	}
	d := &Document{File: filepath.Base(path), spec: spec}
	known := false
	for _, base := range bases(spec.Servers) {
		for _, name := range spec.Paths.Keys() {
			version, segments := split(base + name)
			item := spec.Paths.Value(name)
			for method, o := range item.Operations() {
				d.operations = append(d.operations, &operation{method, name, version, segments, item, o})
			}
			known = known || slices.Contains(used, normal(segments))
		}
	}
	if !known {
		return nil, errors.New("parse OpenAPI document " + path + ": it has none of the paths that a run uses (" +
			strings.ReplaceAll(strings.Join(used, ", "), "{}", "{id}") + ", with or without /v1 or /v2)")
	}
	return d, nil
}

// bases are the paths of the servers' addresses, without a slash at the end.
func bases(servers openapi3.Servers) []string {
	all := []string{}
	for _, server := range servers {
		if u, err := url.Parse(server.URL); err == nil {
			all = append(all, strings.TrimSuffix(u.Path, "/"))
		}
	}
	if len(all) == 0 {
		return []string{""}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

var versionPrefix = regexp.MustCompile(`^/v[0-9]+$`)

// split takes a path apart; version is empty where it begins with none.
func split(path string) (version string, segments []string) {
	segments = strings.Split(strings.Trim(path, "/"), "/")
	if first := "/" + segments[0]; versionPrefix.MatchString(first) {
		return first, segments[1:]
	}
	return "", segments
}

func isParameter(segment string) bool {
	return strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "}")
}

// normal is a path whose parameters have no names.
func normal(segments []string) string {
	var b strings.Builder
	for _, s := range segments {
		if isParameter(s) {
			s = "{}"
		}
		b.WriteString("/" + s)
	}
	return b.String()
}

// find is the operation of a request, with the path's parameters. Both versions have the same surface, so where the
// document has only one of them it is taken for the other. Of two that match, the one with more fixed parts is meant.
func (d *Document) find(method, path string) (*operation, map[string]string) {
	version, segments := split(path)
	var best *operation
	var params map[string]string
	score := -1
	for _, o := range d.operations {
		if o.method != method {
			continue
		}
		found, fixed := o.match(segments)
		if found == nil {
			continue
		}
		points := 2 * fixed
		if o.version == version {
			points++
		}
		if points > score {
			best, params, score = o, found, points
		}
	}
	return best, params
}

// match gives the values of the parameters, or nil. A parameter at the end takes the rest: OpenAPI has no notation for
// a file's path, and the API has those.
func (o *operation) match(segments []string) (params map[string]string, fixed int) {
	params = map[string]string{}
	for i, s := range o.segments {
		switch {
		case i >= len(segments):
			return nil, 0
		case isParameter(s):
			value := segments[i]
			if i == len(o.segments)-1 {
				value = strings.Join(segments[i:], "/")
				segments = segments[:i+1]
			}
			params[strings.Trim(s, "{}")] = value
		case s != segments[i]:
			return nil, 0
		default:
			fixed++
		}
	}
	if len(segments) != len(o.segments) {
		return nil, 0
	}
	return params, fixed
}

// has reports whether the document has an operation of that name.
func (d *Document) has(name string) bool {
	return slices.ContainsFunc(d.operations, func(o *operation) bool { return o.name() == name })
}

var looksLikeID = regexp.MustCompile(`[0-9a-fA-F]{8}-|[0-9]{4}|^$`)

// unknown names a request that the document has no operation for; ids in it are not told.
func unknown(method, path string) string {
	version, segments := split(path)
	for i, s := range segments {
		if looksLikeID.MatchString(s) {
			segments[i] = "{id}"
		}
	}
	return method + " " + version + "/" + strings.Join(segments, "/")
}
