package propagator

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// The client's defaults; each has an option.
const (
	DefaultRequestTimeout = 10 * time.Second
	DefaultTotalTimeout   = 30 * time.Second
	DefaultSyncWait       = 15 * time.Second
	DefaultMaxAnswer      = 64 << 20
	DefaultPollFirst      = 100 * time.Millisecond
	DefaultPollSlowest    = 2 * time.Second
)

// Client talks to one propagator. It is safe for use by many goroutines.
type Client struct {
	base  string
	token settings.Secret
	http  *http.Client
	// transport carries http's requests after the token was put on those for base.
	transport http.RoundTripper
	observe   func(http.RoundTripper) http.RoundTripper

	requestTimeout time.Duration
	totalTimeout   time.Duration
	syncWait       time.Duration
	maxAnswer      int64
	pollFirst      time.Duration
	pollSlowest    time.Duration
	retryFirst     time.Duration
	log            *slog.Logger

	probing sync.Mutex
	// prefix is "/v1" or "/v2", or empty until it is known; probing guards it.
	prefix string
	// started has the ids of the actions that this client has started, so that a look for one whose answer was lost
	// does not find an older one.
	started sync.Map
	// starting has a turn for each target that an action was started of.
	starting sync.Map
	// keepsKeys says that the server remembers idempotency keys; false until it has said so.
	keepsKeys atomic.Bool
}

// Option changes a default of New.
type Option func(*Client) error

// WithPrefix sets the API's version prefix, "/v1" or "/v2". Without it the client finds out with its first call.
func WithPrefix(prefix string) Option {
	return func(c *Client) error {
		p := "/" + strings.Trim(prefix, "/")
		if p != "/v1" && p != "/v2" {
			return fmt.Errorf("version prefix %q: want /v1 or /v2", prefix)
		}
		c.prefix = p
		return nil
	}
}

// WithTransport replaces the transport, for a private CA for one. The token is added after it is chosen, so a
// transport that logs headers would see it.
func WithTransport(rt http.RoundTripper) Option {
	return func(c *Client) error { c.transport = rt; return nil }
}

// WithObserver puts a transport around the one that the client uses, to look at what goes through it. It sees the token.
func WithObserver(around func(next http.RoundTripper) http.RoundTripper) Option {
	return func(c *Client) error { c.observe = around; return nil }
}

// WithTotalTimeout limits one call, its retries included. Wait is not bound by it.
func WithTotalTimeout(d time.Duration) Option {
	return positive("total timeout", d, func(c *Client) { c.totalTimeout = d })
}

// WithSyncWait limits how long CheckpointPod waits for the propagator to hear of a fresh pod.
func WithSyncWait(d time.Duration) Option {
	return positive("sync wait", d, func(c *Client) { c.syncWait = d })
}

// WithMaxAnswer limits an answer's body, in bytes.
func WithMaxAnswer(n int64) Option {
	return func(c *Client) error {
		if n <= 0 {
			return fmt.Errorf("answer limit %d: want more than 0", n)
		}
		c.maxAnswer = n
		return nil
	}
}

// WithPolling sets Wait's first and slowest interval.
func WithPolling(first, slowest time.Duration) Option {
	return func(c *Client) error {
		if first <= 0 || slowest < first {
			return fmt.Errorf("polling from %s to %s: want 0 < first <= slowest", first, slowest)
		}
		c.pollFirst, c.pollSlowest = first, slowest
		return nil
	}
}

// WithRetryInterval sets the wait before the first retry (default 100 ms); it doubles up to 5 s, with jitter.
func WithRetryInterval(d time.Duration) Option {
	return positive("retry interval", d, func(c *Client) { c.retryFirst = d })
}

// WithLogger makes the client tell of its retries, at level warn. The default tells nobody.
func WithLogger(l *slog.Logger) Option { return func(c *Client) error { c.log = l; return nil } }

func positive(what string, d time.Duration, set func(*Client)) Option {
	return func(c *Client) error {
		if d <= 0 {
			return fmt.Errorf("%s %s: want more than 0", what, d)
		}
		set(c)
		return nil
	}
}

// New makes a client for the propagator at baseURL, which may be spelled as settings.NormalizeURL accepts. It sends
// nothing. The token goes to that scheme, host and port alone, wherever a redirect or a file's URL may point.
func New(baseURL string, token settings.Secret, opts ...Option) (*Client, error) {
	base, err := settings.NormalizeURL(baseURL)
	if err != nil {
		return nil, fmt.Errorf("propagator url: %w", err)
	}
	if strings.ContainsAny(token.Reveal(), "\r\n\x00 \t") {
		return nil, fmt.Errorf("propagator token: has white space or a line break in it")
	}
	c := &Client{
		base: base, token: token,
		requestTimeout: stretch.Limit(DefaultRequestTimeout), totalTimeout: stretch.Limit(DefaultTotalTimeout),
		syncWait: stretch.Limit(DefaultSyncWait), maxAnswer: DefaultMaxAnswer,
		pollFirst: DefaultPollFirst, pollSlowest: DefaultPollSlowest, retryFirst: 100 * time.Millisecond,
		log: slog.New(slog.DiscardHandler),
	}
	for _, opt := range opts {
		if err := opt(c); err != nil {
			return nil, fmt.Errorf("propagator client: %w", err)
		}
	}
	if c.transport == nil {
		c.transport = newTransport()
	}
	if c.observe != nil {
		c.transport = c.observe(c.transport)
	}
	c.http = HTTPClient(c.base, c.token, c.transport)
	return c, nil
}

// BaseURL is the normalised address.
func (c *Client) BaseURL() string { return c.base }

// Format keeps the token out of every verb: fmt prints unexported fields without asking their String methods.
func (c *Client) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "propagator client of %s", c.base)
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: stretch.Limit(5 * time.Second), KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSHandshakeTimeout:   stretch.Limit(5 * time.Second),
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       30 * time.Second,
		ExpectContinueTimeout: time.Second,
		ForceAttemptHTTP2:     true,
	}
}
