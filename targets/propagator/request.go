package propagator

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
)

const (
	asText      = "text/plain;q=0.9, application/json;q=0.8"
	asJSON      = "application/json"
	slowestTry  = 5 * time.Second
	headerReqID = "X-Request-Id"
)

// call is one request to the API.
type call struct {
	method string
	// path comes after the version prefix.
	path   string
	query  url.Values
	body   any
	accept string
	// key is the idempotency key; empty for none.
	key string
	// repeatable says that doing it twice is the same as doing it once, so that an unknown outcome may be retried.
	repeatable bool
	// retry says of one more kind of error that the request did not act and may do so later.
	retry func(*APIError) bool
}

// answer is a success.
type answer struct {
	header http.Header
	body   []byte
	// serverTime is the answer's Date, or zero.
	serverTime time.Time
	// unsure says that an earlier attempt of the same call had no answer.
	unsure bool
}

// tryError is why one attempt failed and whether there may be another.
type tryError struct {
	err   error
	again bool
	after time.Duration
}

// do sends a call until it has an answer, an error that stays, or no time.
func (c *Client) do(ctx context.Context, k call) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.totalTimeout)
	defer cancel()
	prefix, err := c.versionPrefix(ctx)
	if err != nil {
		return nil, err
	}
	return c.doAt(ctx, prefix, k)
}

func (c *Client) doAt(ctx context.Context, prefix string, k call) (*answer, error) {
	var payload []byte
	if k.body != nil {
		var err error
		if payload, err = json.Marshal(k.body); err != nil {
			return nil, fmt.Errorf("encode body of %s %s: %w", k.method, k.path, err)
		}
	}
	unsure := false
	var ans *answer
	err := c.retry(ctx, k.method+" "+prefix+k.path, func() *tryError {
		var t *tryError
		ans, t = c.try(ctx, prefix, k, payload)
		if t == nil {
			ans.unsure = unsure
			return nil
		}
		var api *APIError
		if unsure && k.method == http.MethodDelete && errors.As(t.err, &api) && api.StatusCode == http.StatusNotFound {
			// The attempt whose answer was lost has done it.
			ans = &answer{unsure: true}
			return nil
		}
		unsure = unsure || t.again && !errors.As(t.err, &api)
		return t
	})
	if err != nil {
		return nil, err
	}
	return ans, nil
}

// retry runs try until it succeeds, fails for good, or ctx ends. The last failure is always part of the error.
func (c *Client) retry(ctx context.Context, what string, try func() *tryError) error {
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		t := try()
		if t == nil {
			return struct{}{}, nil
		}
		if before := last; before != nil && ctx.Err() != nil {
			// The deadline broke this attempt off; what the others met says more.
			t.err = fmt.Errorf("%w; before that: %w", t.err, before)
		}
		last = t.err
		if !t.again {
			return struct{}{}, backoff.Permanent(t.err)
		}
		if t.after > 0 {
			if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < t.after {
				return struct{}{}, backoff.Permanent(fmt.Errorf("%w (it asks to wait %s, longer than this call may take)", t.err, t.after))
			}
			return struct{}{}, &backoff.RetryAfterError{Duration: t.after}
		}
		return struct{}{}, t.err
	},
		backoff.WithBackOff(&backoff.ExponentialBackOff{
			InitialInterval: c.retryFirst, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: slowestTry,
		}),
		backoff.WithMaxElapsedTime(0), // ctx has the deadline
		backoff.WithNotify(func(error, time.Duration) { c.log.Warn("retrying", "request", what, "after", last) }),
	)
	switch {
	case err == nil:
		return nil
	case last != nil && ctx.Err() != nil && !errors.Is(err, last):
		return fmt.Errorf("%w (gave up: %w)", last, context.Cause(ctx))
	default:
		return err
	}
}

// try sends a call once.
func (c *Client) try(ctx context.Context, prefix string, k call, payload []byte) (*answer, *tryError) {
	if err := ctx.Err(); err != nil {
		return nil, &tryError{err: fmt.Errorf("%s %s: %w", k.method, prefix+k.path, err)}
	}
	attempt, cancel := context.WithTimeout(ctx, c.requestTimeout)
	defer cancel()

	var sent atomic.Bool
	traced := httptrace.WithClientTrace(attempt, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	target := c.base + prefix + k.path
	if len(k.query) > 0 {
		target += "?" + k.query.Encode()
	}
	var body io.Reader
	if payload != nil {
		body = bytes.NewReader(payload)
	}
	req, err := http.NewRequestWithContext(traced, k.method, target, body)
	if err != nil {
		return nil, &tryError{err: fmt.Errorf("%s %s: %w", k.method, prefix+k.path, plain(err))}
	}
	if payload != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	id := uuid.NewString()
	req.Header.Set("Accept", k.accept)
	req.Header.Set("User-Agent", "cedana-e2e")
	req.Header.Set(headerReqID, id)
	if k.key != "" {
		req.Header.Set(HeaderIdempotencyKey, k.key)
	}

	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.transportError(ctx, attempt, k, prefix, sent.Load(), err)
	}
	defer resp.Body.Close()
	if resp.Header.Get(HeaderKeepsKeys) == "true" {
		c.keepsKeys.Store(true)
	}
	data, err := readLimited(resp.Body, c.maxAnswer)
	if err != nil {
		if resp.StatusCode == http.StatusOK || errors.Is(err, errTooLarge) {
			return nil, c.transportError(ctx, attempt, k, prefix, true, fmt.Errorf("read answer: %w", err))
		}
		data = nil // the status says enough
	}
	if apiErr := c.interpret(k.method, prefix+k.path, resp, data, id); apiErr != nil {
		return nil, c.statusError(k, apiErr, resp.Header)
	}
	ans := &answer{header: resp.Header, body: data}
	if t, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		ans.serverTime = t
	}
	return ans, nil
}

// transportError judges an attempt without a whole answer.
func (c *Client) transportError(ctx, attempt context.Context, k call, prefix string, sent bool, cause error) *tryError {
	// net/http's own error has the whole URL in it.
	cause = plain(cause)
	timedOut := attempt.Err() != nil
	err := fmt.Errorf("%s %s at %s: %w", k.method, prefix+k.path, c.base, cause)
	switch {
	case timedOut && ctx.Err() == nil:
		err = fmt.Errorf("%s %s at %s: no answer within %s: %w", k.method, prefix+k.path, c.base, c.requestTimeout, cause)
	case errors.Is(cause, errTooLarge), isCertificateError(cause), isUnknownHost(cause):
		return &tryError{err: err}
	}
	if sent && !k.repeatable {
		return &tryError{err: &UnknownOutcomeError{Err: err, TimedOut: timedOut}}
	}
	return &tryError{err: err, again: ctx.Err() == nil}
}

// statusError judges an answer that is not a success.
func (c *Client) statusError(k call, err *APIError, header http.Header) *tryError {
	t := &tryError{err: err}
	switch err.StatusCode {
	case http.StatusTooManyRequests:
		// The server refused: it has not acted.
		t.again, t.after = true, retryAfter(header)
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		// Often said by a proxy, after the request has been passed on.
		if !k.repeatable {
			t.err = &UnknownOutcomeError{Err: err, TimedOut: err.StatusCode == http.StatusGatewayTimeout}
			return t
		}
		t.again, t.after = true, retryAfter(header)
	default:
		if k.retry != nil && k.retry(err) {
			// Something is expected to turn up any moment: ask evenly, not ever more seldom.
			t.again, t.after = true, 2*c.retryFirst
		}
	}
	return t
}

// retryAfter reads the header in both its forms; 0 when there is none.
func retryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 && seconds < 1<<20 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

var errTooLarge = errors.New("answer is too large")

func readLimited(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", errTooLarge, limit)
	}
	return data, nil
}

// plain takes the URL, which may be a presigned one, out of net/http's errors.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func isCertificateError(err error) bool {
	var verify *tls.CertificateVerificationError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	return errors.As(err, &verify) || errors.As(err, &invalid) || errors.As(err, &unknown) || errors.As(err, &host) ||
		errors.As(err, &record)
}

func isUnknownHost(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}
