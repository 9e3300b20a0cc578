package propagator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// UploadFile puts size bytes of r at path in the server's file store (`cedana://`). The server gives a URL to upload
// to; the token goes along only if that is the propagator itself. A reader that can seek is sent again after a failed
// attempt; any other is sent once.
func (c *Client) UploadFile(ctx context.Context, path string, r io.Reader, size int64) error {
	ctx, cancel := context.WithTimeout(ctx, c.transferTimeout)
	defer cancel()
	target, err := c.fileURL(ctx, http.MethodPut, path)
	if err != nil {
		return err
	}
	seeker, rewindable := r.(io.Seeker)
	var begin int64
	if rewindable {
		if begin, err = seeker.Seek(0, io.SeekCurrent); err != nil {
			rewindable = false
		}
	}
	return c.retry(ctx, "upload file "+path, func() *tryError {
		if rewindable {
			if _, err := seeker.Seek(begin, io.SeekStart); err != nil {
				return &tryError{err: fmt.Errorf("upload file %s: rewind: %w", path, err)}
			}
		}
		// The transport closes what it can; the reader is the caller's.
		resp, t := c.transfer(ctx, http.MethodPut, path, target, io.NopCloser(io.LimitReader(r, size)), size)
		if t != nil {
			t.again = t.again && rewindable
			return t
		}
		resp.Body.Close()
		return nil
	})
}

// DownloadFile opens the file at path in the server's file store. The caller closes it; ctx must live as long.
// A file that breaks off gives io.ErrUnexpectedEOF where the server tells the length.
func (c *Client) DownloadFile(ctx context.Context, path string) (io.ReadCloser, error) {
	target, err := c.fileURL(ctx, http.MethodGet, path)
	if err != nil {
		return nil, err
	}
	var body io.ReadCloser
	err = c.retry(ctx, "download file "+path, func() *tryError {
		resp, t := c.transfer(ctx, http.MethodGet, path, target, nil, 0)
		if t != nil {
			return t
		}
		body = resp.Body
		return nil
	})
	return body, err
}

// fileURL asks where a file is to be put or had.
func (c *Client) fileURL(ctx context.Context, method, path string) (string, error) {
	k := call{method: method, path: "/files/" + escapePath(path), accept: asText, repeatable: true}
	target, err := c.callText(ctx, k, decodeText)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return "", fmt.Errorf("%s %s: answer is not a URL", k.method, k.path)
	}
	return target, nil
}

// transfer sends one request to a file's URL. Its errors name the path and never the URL, which may be presigned.
func (c *Client) transfer(ctx context.Context, method, path, target string, body io.ReadCloser, size int64) (*http.Response, *tryError) {
	what := map[string]string{http.MethodPut: "upload", http.MethodGet: "download"}[method] + " file " + path
	var reader io.Reader
	if body != nil && size > 0 {
		reader = body
	}
	req, err := http.NewRequestWithContext(ctx, method, target, reader)
	if err != nil {
		return nil, &tryError{err: fmt.Errorf("%s: %w", what, plain(err))}
	}
	req.ContentLength = size
	req.Header.Set("User-Agent", c.userAgent)
	resp, err := c.http.Do(req)
	if err != nil {
		err = plain(err)
		again := ctx.Err() == nil && !isCertificateError(err) && !isUnknownHost(err)
		return nil, &tryError{err: fmt.Errorf("%s: %w", what, err), again: again}
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	data, err := readLimited(resp.Body, 64<<10)
	if err != nil && !errors.Is(err, errTooLarge) {
		data = nil
	}
	k := call{method: method, repeatable: true}
	return nil, c.statusError(k, &APIError{
		Method: method, Path: "file " + path, StatusCode: resp.StatusCode, RequestID: resp.Header.Get(headerReqID),
		Message: c.scrub(oneLine(errorMessage(data), maxMessage)), HTML: isHTML(resp.Header.Get("Content-Type"), data),
	}, resp.Header)
}

func escapePath(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/")
}
