//go:build e2e

package e2e

import (
	"path/filepath"

	"github.com/cedana/cedana-e2e/targets/contract"
)

// exchanges are what the tests and the propagator say to each other, checked against the document of E2E_OPENAPI; nil
// without one.
var exchanges *contract.Ledger

func checkExchanges() error {
	if env.OpenAPI == "" {
		return nil
	}
	document, err := contract.Load(env.OpenAPI)
	if err != nil {
		return err
	}
	exchanges = contract.NewLedger(document)
	transport = exchanges.Transport(transport)
	return nil
}

// keepExchanges leaves the record to the end of the run, which has the verdict.
func keepExchanges() error {
	if exchanges == nil {
		return nil
	}
	return exchanges.Record().Write(filepath.Join(env.Artifacts, contract.RecordFile))
}
