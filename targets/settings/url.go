package settings

import (
	"fmt"
	"net/url"
	"strings"
)

const urlExample = "https://ci.cedana.ai/v1"

// NormalizeURL brings the spellings of a propagator's address that users have (with or without a scheme, with /v1 or
// /v2 or neither, with a trailing slash) to scheme://host[:port]. Without a scheme it is https, as upstream reads it.
func NormalizeURL(raw string) (string, error) {
	text := strings.TrimSpace(raw)
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("%q is not a URL", raw)
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return "", fmt.Errorf("%q has the scheme %q, want http or https", raw, u.Scheme)
	case u.Hostname() == "":
		return "", fmt.Errorf("%q has no host", raw)
	case u.User != nil:
		return "", fmt.Errorf("a URL with a user or password in it is refused: the token belongs in CEDANA_AUTH_TOKEN")
	case u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("%q has a query or fragment", raw)
	}
	path := strings.Trim(u.Path, "/")
	path = strings.TrimSuffix(strings.TrimSuffix(path, "v1"), "v2")
	if path = strings.Trim(path, "/"); path != "" {
		return "", fmt.Errorf("%q has the path %q, want none, /v1 or /v2", raw, path)
	}
	return u.Scheme + "://" + u.Host, nil
}

// URL wants a propagator's address, and normalises it.
func (c *Checker) URL(name, value string) string {
	base, err := NormalizeURL(value)
	if err != nil {
		c.Add(name, err.Error(), urlExample)
	}
	return base
}

func (c *Checker) url(value string, backend Backend, installed bool) string {
	if backend == BackendLocal {
		// The local propagator's address is given by the run; a leftover CEDANA_URL must not send tests elsewhere.
		return ""
	}
	if value == "" && installed {
		// SKIP_HELM=1: the one that Cedana was installed with.
		return ""
	}
	if value == "" {
		value = DefaultURL
	}
	return c.URL("CEDANA_URL", value)
}
