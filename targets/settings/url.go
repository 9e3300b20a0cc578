package settings

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

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

// CheckPlain refuses to let a token go over plain HTTP, which anybody on the way can read, to any address but this
// machine's and a private network's: localhost, or such an IP address. A
// name could be looked up to be anything.
func CheckPlain(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("%q is not a URL", address)
	}
	host := u.Hostname()
	ip, err := netip.ParseAddr(host)
	near := host == "localhost" || err == nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast())
	if u.Scheme == "http" && !near {
		return fmt.Errorf("%q would send the token unencrypted: use https, or an address of this machine or of a private network, such as a tunnel's", address)
	}
	return nil
}
