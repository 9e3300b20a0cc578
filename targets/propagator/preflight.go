package propagator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/stretch"
)

// PreflightTimeout bounds Preflight where the network swallows packets; otherwise it takes one or two round trips.
const PreflightTimeout = 5 * time.Second

// Fault is what is wrong with the way to a propagator.
type Fault string

// The faults that Preflight tells apart.
const (
	// FaultToken: the server refuses the token (401, 403).
	FaultToken Fault = "token"
	// FaultURL: something answers, but it is no propagator (404, a web page, a redirect elsewhere).
	FaultURL Fault = "url"
	// FaultUnreachable: the host's name is unknown, the connection is refused, or nothing answers in time.
	FaultUnreachable Fault = "unreachable"
	// FaultTLS: the certificate is expired, of another host or of an unknown authority, or there is no TLS.
	FaultTLS Fault = "tls"
	// FaultServer: a propagator, or the proxy before it, is there and fails (5xx, 429).
	FaultServer Fault = "server"
)

// PreflightError says what is wrong and what to do about it.
type PreflightError struct {
	Fault Fault
	URL   string
	Err   error
	hint  string
}

func (e *PreflightError) Error() string {
	return fmt.Sprintf("propagator %s: %v; %s", e.URL, e.Err, e.hint)
}

func (e *PreflightError) Unwrap() error { return e.Err }

// Preflight asks the server who the token's user is, without retries, and returns that id or a *PreflightError. It
// also settles the version prefix.
func (c *Client) Preflight(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, stretch.Limit(PreflightTimeout))
	defer cancel()
	c.probing.Lock()
	defer c.probing.Unlock()
	prefixes := []string{"/v2", "/v1"}
	if c.prefix != "" {
		prefixes = []string{c.prefix}
	}
	var first error
	for _, prefix := range prefixes {
		ans, t := c.try(ctx, prefix, userCall, nil)
		if t == nil {
			user, err := c.text(userCall, ans, decodeText)
			if err != nil {
				return "", c.fault(&APIError{Method: http.MethodGet, Path: prefix + userCall.path, StatusCode: http.StatusOK, Message: err.Error(), HTML: true})
			}
			c.prefix = prefix
			return user, nil
		}
		if first == nil {
			first = t.err
		}
		var api *APIError
		if !errors.As(t.err, &api) || api.StatusCode != http.StatusNotFound && !api.HTML {
			return "", c.fault(t.err)
		}
	}
	return "", c.fault(first)
}

func (c *Client) fault(err error) *PreflightError {
	e := &PreflightError{URL: c.base, Err: err}
	var api *APIError
	var invalid x509.CertificateInvalidError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &api) && (api.StatusCode == http.StatusUnauthorized || api.StatusCode == http.StatusForbidden) && !api.HTML:
		e.Fault, e.hint = FaultToken, "the token is not accepted: check CEDANA_AUTH_TOKEN"
		if !c.token.Set() {
			e.hint = "no token was sent: set CEDANA_AUTH_TOKEN"
		}
	case errors.As(err, &api) && (api.StatusCode >= 500 || api.StatusCode == http.StatusTooManyRequests):
		e.Fault, e.hint = FaultServer, "the address is there but the server fails: try again later"
	case errors.As(err, &api):
		e.Fault, e.hint = FaultURL, "this is no propagator's address: check CEDANA_URL"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e.Fault, e.hint = FaultTLS, "the server's certificate is expired or not yet valid: check this machine's clock, else the server's certificate has to be renewed"
	case errors.As(err, &authority):
		e.Fault, e.hint = FaultTLS, "the server's certificate is of an authority that this machine does not know: add it, or name it in SSL_CERT_FILE"
	case errors.As(err, &host):
		e.Fault, e.hint = FaultTLS, "the server's certificate is for another host: check CEDANA_URL"
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		e.Fault, e.hint = FaultTLS, "the server does not speak TLS: check CEDANA_URL, http:// may be meant"
	case isCertificateError(err):
		e.Fault, e.hint = FaultTLS, "the server's certificate is not accepted"
	case isUnknownHost(err):
		e.Fault, e.hint = FaultUnreachable, "no such host: check CEDANA_URL"
	default:
		e.Fault, e.hint = FaultUnreachable, "nothing answers there: check CEDANA_URL, the network and HTTPS_PROXY"
	}
	return e
}
