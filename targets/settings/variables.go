package settings

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/cedana/cedana-e2e/targets/stretch"
)

// Variable is the declaration of one environment variable: all that the program and the documents know of it.
type Variable struct {
	Name string
	// Default is taken where the variable is not set, or set to nothing. It is spelled as a person would.
	Default string
	// DefaultText says in words what the default is, where that is no one value.
	DefaultText string
	// Example is a good value, for the message about a bad one. Default: Default.
	Example string
	// For names who reads it: a backend or targets, in Markdown. Empty means every run.
	For string
	// Doc is one sentence or two, in Markdown.
	Doc string
	// Group is the heading that it stands under, which [Variables.Group] has set.
	Group string
}

func (v Variable) example() string {
	if v.Example != "" {
		return v.Example
	}
	return v.Default
}

// Variables reads the environment. Each of its methods declares a variable, reads it, and gives its value, or the zero
// value where it is bad: what is wrong is kept, so that all of it is told at once.
type Variables struct {
	from     envconfig.Lookuper
	group    string
	declared []Variable
	problems Problems
	given    []Given
}

// NewVariables reads from the lookuper: envconfig.OsLookuper for the environment, a MapLookuper in tests. go-envconfig's
// own processing ends at the first bad value, so it is the source here and not the judge.
func NewVariables(from envconfig.Lookuper) *Variables {
	return &Variables{from: from}
}

// Group is the heading for what is declared next.
func (v *Variables) Group(name string) { v.group = name }

// Declared are all variables so far, in order.
func (v *Variables) Declared() []Variable { return v.declared }

// Err has everything that is wrong, as [Problems]; nil where nothing is.
func (v *Variables) Err() error {
	if len(v.problems) > 0 {
		return v.problems
	}
	return nil
}

// Problem is for what no method here checks, such as two values that do not go together. example is a good value.
func (v *Variables) Problem(name, reason, example string) {
	v.problems = append(v.problems, Problem{Name: name, Reason: reason, Example: example})
}

// Elsewhere declares a variable that a library or another program reads by itself.
func (v *Variables) Elsewhere(d Variable) {
	if slices.ContainsFunc(v.declared, func(other Variable) bool { return other.Name == d.Name }) {
		panic("settings: " + d.Name + " is declared twice")
	}
	d.Group = v.group
	v.declared = append(v.declared, d)
}

// Text is any text.
func (v *Variables) Text(d Variable) string {
	return v.text(d, func(value string) string { return value })
}

func (v *Variables) text(d Variable, shown func(string) string) string {
	v.Elsewhere(d)
	if value, ok := v.from.Lookup(d.Name); ok && value != "" {
		v.given = append(v.given, Given{d.Name, shown(value)})
		return value
	}
	return d.Default
}

// Secret is text that is never shown.
func (v *Variables) Secret(d Variable) Secret {
	value := v.text(d, func(string) string { return masked })
	if value != strings.TrimSpace(value) {
		v.Problem(d.Name, "has white space around it", d.example())
	}
	return Secret(value)
}

// List is separated by commas; white space and empty parts do not count.
func (v *Variables) List(d Variable) []string {
	var out []string
	for _, one := range strings.Split(v.Text(d), ",") {
		if one = strings.TrimSpace(one); one != "" {
			out = append(out, one)
		}
	}
	return out
}

// Given reports whether the variable is set to something, and declares nothing.
func (v *Variables) Given(name string) bool {
	value, ok := v.from.Lookup(name)
	return ok && value != ""
}

// Renamed refuses a variable by the name that it had before, which would do nothing now.
func (v *Variables) Renamed(old, name string) {
	if v.Given(old) {
		v.Problem(old, "is called "+name+" now: set that in its place", "")
	}
}

// Label is a DNS label of at most so many characters.
func (v *Variables) Label(d Variable, most int) string {
	value := v.Text(d)
	switch {
	case len(value) > most:
		v.Problem(d.Name, fmt.Sprintf("%q has %d characters, at most %d are allowed", value, len(value), most), d.example())
	case !dnsLabel.MatchString(value):
		v.Problem(d.Name, fmt.Sprintf("%q is not a DNS label (lower-case letters, digits and hyphens)", value), d.example())
	}
	return value
}

// Word is one of the API's words, or none: not every propagator has the same, so only its form is checked.
func (v *Variables) Word(d Variable) string {
	value := v.Text(d)
	if value != "" && !apiWord.MatchString(value) {
		v.Problem(d.Name, fmt.Sprintf("%q is not a word of lower-case letters, digits and underscores", value), d.example())
	}
	return value
}

// OneOf is one of a few words.
func (v *Variables) OneOf(d Variable, allowed ...string) string {
	value := v.Text(d)
	if !slices.Contains(allowed, value) {
		v.Problem(d.Name, fmt.Sprintf("%q is not one of %s", value, strings.Join(allowed, ", ")), allowed[0])
	}
	return value
}

// Bool is 0 or 1, 0 by default.
func (v *Variables) Bool(d Variable) bool {
	d.Default = "0"
	value := v.Text(d)
	b, err := strconv.ParseBool(value)
	if err != nil {
		v.Problem(d.Name, fmt.Sprintf("%q is neither 0 nor 1", value), "1")
	}
	return b
}

// Number is a whole number from least to most. Without a default, a variable that is not set is 0.
func (v *Variables) Number(d Variable, least, most int) int {
	value := v.Text(d)
	if value == "" {
		return 0
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		v.Problem(d.Name, fmt.Sprintf("%q is not a number from %d to %d", value, least, most), strconv.Itoa(max(least, 1)))
	}
	return n
}

// Duration is a Go duration above zero.
func (v *Variables) Duration(d Variable) time.Duration {
	value := v.Text(d)
	duration, err := time.ParseDuration(value)
	if err != nil || duration <= 0 {
		v.Problem(d.Name, fmt.Sprintf("%q is not a duration above zero", value), d.example())
	}
	return duration
}

// Limit is a Duration that bounds something: its default is stretched by E2E_TIMEOUT_SCALE, and what is given is not.
func (v *Variables) Limit(d Variable) time.Duration {
	if v.Given(d.Name) {
		return v.Duration(d)
	}
	// What is wrong with the factor is told where it is declared.
	text, _ := v.from.Lookup(stretch.Variable)
	factor, _ := stretch.Parse(text)
	return stretch.By(v.Duration(d), factor)
}

// Path is any path; it is made absolute. Without a default, a variable that is not set is empty.
func (v *Variables) Path(d Variable) string {
	value := v.Text(d)
	if value == "" {
		return ""
	}
	abs, err := filepath.Abs(value)
	if err != nil {
		v.Problem(d.Name, err.Error(), d.example())
	}
	return abs
}

// Pattern is a regular expression.
func (v *Variables) Pattern(d Variable) string {
	value := v.Text(d)
	if _, err := regexp.Compile(value); err != nil {
		v.Problem(d.Name, fmt.Sprintf("%q is not a regular expression: %v", value, err), d.example())
	}
	return value
}

var (
	dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	apiWord  = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)
