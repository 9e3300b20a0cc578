package settings

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Checker turns the text of variables into values, and keeps what is wrong with them: all of it is told at once. Its
// methods give a value whether it is good or not.
type Checker struct{ Problems Problems }

// Required wants a value at all.
func (c *Checker) Required(name, value, example string) string {
	if value == "" {
		c.Add(name, "is not set", example)
	}
	return value
}

// Add is for what no method here checks. example is a value that is good.
func (c *Checker) Add(name, reason, example string) {
	c.Problems = append(c.Problems, Problem{Name: name, Reason: reason, Example: example})
}

// Match wants a form, and at most so many characters.
func (c *Checker) Match(name, value string, form *regexp.Regexp, most int, example string) string {
	switch {
	case len(value) > most:
		c.Add(name, fmt.Sprintf("%q has %d characters, at most %d are allowed", value, len(value), most), example)
	case !form.MatchString(value):
		c.Add(name, fmt.Sprintf("%q is not a DNS label (lower-case letters, digits and hyphens)", value), example)
	}
	return value
}

// Word is one of the API's: not every propagator has the same, so only its form is checked.
func (c *Checker) Word(name, value, example string) string {
	if value != "" && !apiWord.MatchString(value) {
		c.Add(name, fmt.Sprintf("%q is not a word of lower-case letters, digits and underscores", value), example)
	}
	return value
}

// OneOf wants one of a few words.
func (c *Checker) OneOf(name, value string, allowed ...string) string {
	if !slices.Contains(allowed, value) {
		c.Add(name, fmt.Sprintf("%q is not one of %s", value, strings.Join(allowed, ", ")), allowed[0])
	}
	return value
}

// Boolean wants 0 or 1.
func (c *Checker) Boolean(name, value string) bool {
	b, err := strconv.ParseBool(value)
	if err != nil {
		c.Add(name, fmt.Sprintf("%q is neither 0 nor 1", value), "1")
	}
	return b
}

// Number wants a whole number from least to most.
func (c *Checker) Number(name, value string, least, most int) int {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		c.Add(name, fmt.Sprintf("%q is not a number from %d to %d", value, least, most), strconv.Itoa(max(least, 1)))
	}
	return n
}

// Duration wants a Go duration above zero.
func (c *Checker) Duration(name, value, example string) time.Duration {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		c.Add(name, fmt.Sprintf("%q is not a duration above zero", value), example)
	}
	return d
}

// Absolute wants an absolute path.
func (c *Checker) Absolute(name, value, example string) string {
	if !filepath.IsAbs(value) {
		c.Add(name, fmt.Sprintf("%q is not an absolute path", value), example)
	}
	return filepath.Clean(value)
}

// RuncRoot wants an absolute path whose last part is containerd's namespace for Kubernetes: a runtime's option Root is
// a directory to which containerd adds the namespace.
func (c *Checker) RuncRoot(name, value, example string) string {
	root := filepath.Clean(value)
	switch {
	case !filepath.IsAbs(value):
		c.Add(name, fmt.Sprintf("%q is not an absolute path", value), example)
	case filepath.Base(root) != containerdNamespace || filepath.Dir(root) == "/":
		c.Add(name, fmt.Sprintf("%q is not a directory with containerd's namespace for Kubernetes, %s, in it: containerd keeps runc's state in ROOT/%s",
			value, containerdNamespace, containerdNamespace), example)
	}
	return root
}

// containerdNamespace is where containerd's CRI plugin has all that is Kubernetes'.
const containerdNamespace = "k8s.io"

// Path makes a path absolute.
func (c *Checker) Path(name, value, example string) string {
	abs, err := filepath.Abs(value)
	if err != nil {
		c.Add(name, err.Error(), example)
	}
	return abs
}

// Pattern wants a regular expression.
func (c *Checker) Pattern(name, value, example string) string {
	if _, err := regexp.Compile(value); err != nil {
		c.Add(name, fmt.Sprintf("%q is not a regular expression: %v", value, err), example)
	}
	return value
}
