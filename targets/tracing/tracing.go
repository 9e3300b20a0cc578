// Package tracing sends a run's traces by OTLP (HTTP with protobuf), where OTEL_EXPORTER_OTLP_ENDPOINT is set: the run, its
// phases, its tests and their steps, the requests to the propagator. Elsewhere all of it does nothing. The exporter reads
// OpenTelemetry's own variables.
package tracing

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	// parent has the span that a process was started in, as in the header of the same name.
	parent = "TRACEPARENT"
	// sendTimeout bounds the last spans' way out: mage ends 5 s after Ctrl-C.
	sendTimeout = 2 * time.Second
)

// Start begins this process's part of the trace, as a span of that name: in the span that the environment names, else in a
// trace of its own. end ends it, as one that failed where failed is true, and sends what is left.
func Start(ctx context.Context, name string) (in context.Context, end func(failed bool), err error) {
	if os.Getenv(endpoint) == "" {
		return ctx, func(bool) {}, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("send traces to %s=%s: %w", endpoint, os.Getenv(endpoint), err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "cedana-e2e")), resource.WithFromEnv())
	if err != nil {
		return nil, nil, fmt.Errorf("describe traces by OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))
	in = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": os.Getenv(parent)})
	in, span := provider.Tracer("").Start(in, name)
	return in, func(failed bool) {
		finish(span, failed)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
		defer cancel()
		// What could not be sent the exporter says itself; a run does not fail by it.
		_ = provider.Shutdown(last)
	}, nil
}

// Span begins a span in that of ctx; where there is none it does nothing. end ends it.
func Span(ctx context.Context, name string) (in context.Context, end func(failed bool)) {
	in, span := trace.SpanFromContext(ctx).TracerProvider().Tracer("").Start(ctx, name)
	return in, func(failed bool) { finish(span, failed) }
}

func finish(span trace.Span, failed bool) {
	if failed {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// With is ctx with the span of another one.
func With(ctx, other context.Context) context.Context {
	return trace.ContextWithSpan(ctx, trace.SpanFromContext(other))
}

// Environment is what lets a process that is started in ctx go on with its trace; nothing where there is none.
func Environment(ctx context.Context) []string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	if carrier["traceparent"] == "" {
		return nil
	}
	return []string{parent + "=" + carrier["traceparent"]}
}

// Transport makes a span of each request, and sends it along in the header traceparent. Of the address it tells the path alone:
// a signature is in the query.
func Transport(next http.RoundTripper) http.RoundTripper { return transport{next} }

type transport struct{ next http.RoundTripper }

func (t transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if !trace.SpanContextFromContext(request.Context()).IsValid() {
		return t.next.RoundTrip(request)
	}
	ctx, span := trace.SpanFromContext(request.Context()).TracerProvider().Tracer("").Start(request.Context(), request.Method,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			attribute.String("http.request.method", request.Method), attribute.String("url.path", request.URL.Path),
			attribute.String("server.address", request.URL.Hostname())))
	defer span.End()
	request = request.Clone(ctx)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(request.Header))
	response, err := t.next.RoundTrip(request)
	if err != nil {
		span.SetStatus(codes.Error, "no answer")
		return nil, err
	}
	span.SetAttributes(attribute.Int("http.response.status_code", response.StatusCode))
	if response.StatusCode >= http.StatusBadRequest {
		span.SetStatus(codes.Error, "")
	}
	return response, nil
}
