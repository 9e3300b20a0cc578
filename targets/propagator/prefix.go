package propagator

import (
	"context"
	"errors"
	"net/http"
)

// versionPrefix is the API's version prefix. Both are published for the same routes, so where none was set it asks
// once which one is served; upstream's own tests use /v2, so that is asked for first.
func (c *Client) versionPrefix(ctx context.Context) (string, error) {
	c.probing.Lock()
	defer c.probing.Unlock()
	if c.prefix != "" {
		return c.prefix, nil
	}
	prefix, _, err := c.probe(ctx)
	if err != nil {
		return "", err
	}
	c.prefix = prefix
	return prefix, nil
}

// probe asks both prefixes who the token's user is, and returns the first that is there with its answer.
func (c *Client) probe(ctx context.Context) (string, *answer, error) {
	var first error
	for _, prefix := range []string{"/v2", "/v1"} {
		ans, err := c.doAt(ctx, prefix, userCall)
		if err == nil {
			return prefix, ans, nil
		}
		var api *APIError
		if !errors.As(err, &api) || api.StatusCode != http.StatusNotFound && !api.HTML {
			return "", nil, err
		}
		if first == nil {
			first = err
		}
	}
	return "", nil, first
}

var userCall = call{method: http.MethodGet, path: "/user", accept: asText, repeatable: true}
