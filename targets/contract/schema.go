package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// violation is one thing in a body that its schema forbids.
type violation struct{ at, document, seen string }

// violations takes the library's error apart. Its text is not used, because it has values in it.
func violations(err error, whole *openapi3.Schema) []violation {
	var several openapi3.MultiError
	var one *openapi3.SchemaError
	switch e := err.(type) { //nolint:errorlint // a MultiError's As would give its first error only
	case nil:
		return nil
	case openapi3.MultiError:
		several = e
	case *openapi3.SchemaError:
		one = e
	default:
		return []violation{{"", "a schema", "a body that could not be checked against it"}}
	}
	var all []violation
	for _, e := range several {
		all = append(all, violations(e, whole)...)
	}
	if one == nil {
		return all
	}
	if alternative := one.SchemaField == "oneOf" || one.SchemaField == "anyOf"; !alternative {
		if causes := within(one.Origin); len(causes) > 0 {
			return violations(causes, whole)
		}
	}
	return describe(one, whole)
}

// within are the errors that another one is made of.
func within(err error) openapi3.MultiError {
	for ; err != nil; err = errors.Unwrap(err) {
		switch e := err.(type) { //nolint:errorlint // it goes down the chain itself, for the reason above
		case openapi3.MultiError:
			return e
		case *openapi3.SchemaError:
			return openapi3.MultiError{e}
		}
	}
	return nil
}

// describe takes the whole body's schema where the library leaves out that the body itself, and no part of it, is wrong.
func describe(e *openapi3.SchemaError, whole *openapi3.Schema) []violation {
	path, schema := e.JSONPointer(), e.Schema
	if schema == nil && len(path) == 0 {
		schema = whole
	}
	v := violation{at: place(path), document: "keyword " + e.SchemaField, seen: describeValue(e.Value)}
	switch e.SchemaField {
	case "properties", "additionalProperties":
		return nil // undeclared finds it, and names the field
	case "required":
		var cause *jsonschema.ValidationError
		if errors.As(e, &cause) {
			return missing(cause)
		}
		v.document, v.seen = "required", "missing"
	case "type", "format", "nullable":
		if schema != nil {
			v.document = describeSchema(schema)
		}
	case "enum", "const":
		if schema != nil {
			v.document = describeSchema(schema)
		}
		if word, ok := e.Value.(string); ok && plainWord.MatchString(word) {
			v.seen = word
		}
	case "oneOf", "anyOf":
		v.document = "one of several schemas"
		v.seen += " that matches not one"
	}
	return []violation{v}
}

// missing are the required fields that are not there.
func missing(e *jsonschema.ValidationError) []violation {
	for len(e.Causes) == 1 {
		e = e.Causes[0]
	}
	required, ok := e.ErrorKind.(*kind.Required)
	if !ok {
		return []violation{{place(e.InstanceLocation), "required", "missing"}}
	}
	var all []violation
	for _, name := range required.Missing {
		all = append(all, violation{place(append(slices.Clone(e.InstanceLocation), name)), "required", "missing"})
	}
	return all
}

var (
	plainWord = regexp.MustCompile(`^[A-Za-z][A-Za-z_-]{0,31}$`)
	index     = regexp.MustCompile(`^[0-9]+$`)
)

// place is where in a body something is: "resource.type", "[].checkpoint_id".
func place(path []string) string {
	var b strings.Builder
	for _, part := range path {
		switch {
		case index.MatchString(part):
			b.WriteString("[]")
		case b.Len() > 0:
			b.WriteString("." + part)
		default:
			b.WriteString(part)
		}
	}
	return b.String()
}

// describeSchema is a schema in a few words: "string (uuid) or null".
func describeSchema(s *openapi3.Schema) string {
	if len(s.Enum) > 0 {
		words := make([]string, 0, len(s.Enum))
		for _, v := range s.Enum {
			words = append(words, fmt.Sprint(v))
		}
		return "one of " + strings.Join(words, ", ")
	}
	var types []string
	for _, t := range s.Type.Slice() {
		if t != openapi3.TypeNull && s.Format != "" {
			t += " (" + s.Format + ")"
		}
		types = append(types, t)
	}
	if s.Nullable {
		types = append(types, openapi3.TypeNull)
	}
	if len(types) == 0 {
		return "a schema"
	}
	return strings.Join(types, " or ")
}

// describeValue says what kind of value it is, and not which.
func describeValue(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case json.Number, float64, int64, int:
		return "number"
	case string:
		if v == "" {
			return "empty string"
		}
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	default:
		return fmt.Sprintf("%T", v)
	}
}

// undeclared are the fields of a body that no schema for their place names. Where additional properties are described
// or allowed in so many words, and in objects of which nothing is said, every name is good.
func undeclared(schema *openapi3.Schema, value any) []string {
	var all []string
	walk([]*openapi3.Schema{schema}, value, nil, &all)
	return all
}

func walk(schemas []*openapi3.Schema, value any, at []string, found *[]string) {
	parts := flatten(schemas)
	switch v := value.(type) {
	case []any:
		var items []*openapi3.Schema
		for _, s := range parts {
			items = appendSchema(items, s.Items)
		}
		for _, one := range v {
			walk(items, one, append(slices.Clone(at), "0"), found)
		}
	case map[string]any:
		if !describesFields(parts) {
			return
		}
		for name, one := range v {
			var fields []*openapi3.Schema
			declared := false
			for _, s := range parts {
				if ref, ok := s.Properties[name]; ok {
					declared, fields = true, appendSchema(fields, ref)
				}
			}
			path := append(slices.Clone(at), name)
			if declared {
				walk(fields, one, path, found)
			} else {
				*found = append(*found, place(path))
			}
		}
	}
}

// flatten is each schema with those that it is composed of.
func flatten(schemas []*openapi3.Schema) []*openapi3.Schema {
	var all []*openapi3.Schema
	var add func(s *openapi3.Schema)
	add = func(s *openapi3.Schema) {
		if s == nil || slices.Contains(all, s) {
			return
		}
		all = append(all, s)
		for _, refs := range []openapi3.SchemaRefs{s.AllOf, s.AnyOf, s.OneOf} {
			for _, ref := range refs {
				add(ref.Value)
			}
		}
	}
	for _, s := range schemas {
		add(s)
	}
	return all
}

// describesFields reports whether the names of an object's fields are all said.
func describesFields(parts []*openapi3.Schema) bool {
	described := false
	for _, s := range parts {
		composed := len(s.AllOf)+len(s.AnyOf)+len(s.OneOf) > 0
		extra := s.AdditionalProperties
		allowed := extra.Has != nil && *extra.Has || extra.Schema != nil || len(s.PatternProperties) > 0
		silent := len(s.Properties) == 0 && extra.Has == nil && !composed && (s.Type.Slice() == nil || s.Type.Includes(openapi3.TypeObject))
		if allowed || silent {
			return false
		}
		described = described || len(s.Properties) > 0 || extra.Has != nil
	}
	return described
}

func appendSchema(to []*openapi3.Schema, ref *openapi3.SchemaRef) []*openapi3.Schema {
	if ref == nil || ref.Value == nil {
		return to
	}
	return append(to, ref.Value)
}
