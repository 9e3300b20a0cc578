package tracing

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collect is a collector in this process. read closes nothing: it is for after the end of what sends.
func collect(t *testing.T) (spans map[string]*otlp.Span) {
	t.Helper()
	spans = map[string]*otlp.Span{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			unzipped, err := gzip.NewReader(body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			body = unzipped
		}
		content, err := io.ReadAll(body)
		var sent collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(content, &sent)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			http.Error(w, "no traces", http.StatusBadRequest)
			return
		}
		for _, of := range sent.ResourceSpans {
			for _, scope := range of.ScopeSpans {
				for _, s := range scope.Spans {
					spans[s.Name] = s
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv(endpoint, server.URL)
	return spans
}

func TestATraceGoesThroughProcessesAndRequests(t *testing.T) {
	spans := collect(t)
	t.Setenv(parent, "")
	var headers []string
	propagator := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers = append(headers, r.Header.Get("traceparent"))
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(propagator.Close)

	run, endRun, err := Start(t.Context(), "mage e2e")
	require.NoError(t, err)
	phase, endPhase := Span(run, "run the tests")
	environment := Environment(phase)
	require.Len(t, environment, 1)
	// The test program is another process, which has the environment alone.
	t.Setenv(parent, environment[0][len(parent)+1:])
	tests, endTests, err := Start(t.Context(), "tests")
	require.NoError(t, err)
	step, endStep := Span(With(t.Context(), tests), "restore")
	request, err := http.NewRequestWithContext(step, http.MethodGet, propagator.URL+"/v2/user?signature=secret", nil)
	require.NoError(t, err)
	response, err := (&http.Client{Transport: Transport(http.DefaultTransport)}).Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Empty(t, request.Header, "the caller's request is not changed")
	endStep(true)
	endTests(false)
	endPhase(false)
	endRun(false)

	require.Len(t, spans, 5)
	for child, parent := range map[string]string{"run the tests": "mage e2e", "tests": "run the tests", "restore": "tests", "GET": "restore"} {
		require.Equal(t, spans[parent].SpanId, spans[child].ParentSpanId, child)
		require.Equal(t, spans["mage e2e"].TraceId, spans[child].TraceId, child)
	}
	require.Equal(t, otlp.Status_STATUS_CODE_ERROR, spans["restore"].Status.Code)
	require.Equal(t, otlp.Status_STATUS_CODE_ERROR, spans["GET"].Status.Code)
	require.NotContains(t, spans["GET"].String(), "secret")
	require.Equal(t, []string{"00-" + hex.EncodeToString(spans["GET"].TraceId) + "-" + hex.EncodeToString(spans["GET"].SpanId) + "-01"}, headers)
}

func TestWithoutACollectorNothingIsSent(t *testing.T) {
	t.Setenv(endpoint, "")
	ctx, end, err := Start(t.Context(), "mage e2e")
	require.NoError(t, err)
	ctx, endSpan := Span(ctx, "phase")
	require.Empty(t, Environment(ctx))
	answer, err := Transport(seen(func(r *http.Request) { require.Empty(t, r.Header) })).RoundTrip(httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	endSpan(true)
	end(true)
}

type seen func(*http.Request)

func (s seen) RoundTrip(r *http.Request) (*http.Response, error) {
	s(r)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

func TestACollectorThatDoesNotAnswerHoldsNothingUp(t *testing.T) {
	t.Setenv(endpoint, "http://127.0.0.1:1")
	ctx, cancel := context.WithCancel(t.Context())
	_, end, err := Start(ctx, "mage e2e")
	require.NoError(t, err)
	cancel()
	end(false)
}
