package propagator

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// HTTPClient is an HTTP client of the propagator at base, a normalised address. The token goes on requests for that scheme,
// host and port alone. A nil transport means one with limits on dialling and TLS, and the environment's proxy.
func HTTPClient(base string, token settings.Secret, transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = newTransport()
	}
	return &http.Client{Transport: tokenTransport{base, token, transport}, CheckRedirect: checkRedirect}
}

// tokenTransport puts the token on requests for base. net/http would take an Authorization header along to another port or
// to a subdomain of the same host; here it is never in the headers that a redirect copies.
type tokenTransport struct {
	base  string
	token settings.Secret
	next  http.RoundTripper
}

func (t tokenTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.token.Set() && origin(req.URL) == t.base {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+t.token.Reveal())
	}
	return t.next.RoundTrip(req)
}

func (t tokenTransport) CloseIdleConnections() {
	if closer, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

const maxRedirects = 5

// checkRedirect follows what a GET may follow. Any other method is followed only on its own host and unchanged (307,
// 308): otherwise a POST would arrive as a GET and look like a success.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	if first.Method != http.MethodGet && (req.Method != first.Method || origin(req.URL) != origin(first.URL)) {
		return http.ErrUseLastResponse
	}
	if len(via) >= maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}

// scrub takes the token out of text that came from the other side: servers and proxies echo headers.
func (c *Client) scrub(text string) string {
	if !c.token.Set() {
		return text
	}
	return strings.ReplaceAll(text, c.token.Reveal(), c.token.String())
}
