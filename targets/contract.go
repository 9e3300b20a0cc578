package targets

import (
	"errors"
	"net/http"

	"github.com/cedana/cedana-e2e/targets/contract"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/tracing"
)

// loadContract reads the document of E2E_OPENAPI, if there is one. What is wrong with it is a problem of the
// environment, and told with the others.
func loadContract(document string, problems error) (*contract.Check, error) {
	var others settings.Problems
	if problems != nil && !errors.As(problems, &others) || document == "" {
		return nil, problems
	}
	check, err := contract.NewCheck(document, ".")
	if err != nil {
		return nil, append(others, settings.Problem{Name: "E2E_OPENAPI", Reason: err.Error(), Example: "openapi.json"})
	}
	return check, problems
}

// observed makes clients of the propagator whose requests are in the trace, if there is one, and whose exchanges are checked,
// where there is a contract.
func observed(check *contract.Check) []propagator.Option {
	observe := tracing.Transport
	if check != nil {
		observe = func(next http.RoundTripper) http.RoundTripper { return check.Ledger.Transport(tracing.Transport(next)) }
	}
	return []propagator.Option{propagator.WithObserver(observe)}
}
