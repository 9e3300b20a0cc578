package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/contract"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// contractTest is the name under which the check of the API's contract is reported beside the tests.
const contractTest = "OpenAPI"

// checkContract adds what the tests have recorded to what this process has seen, and the outcome to the report.
// Drift that nothing explains is an error on the local backend, and on the live one with E2E_OPENAPI_STRICT;
// else a warning. So is a row of the table that was not seen, in a run of all tests. ended says that the tests ran to
// their end and passed.
func (r *Report) checkContract(con *console.Console, s *settings.Suite, check *contract.Check, ended bool) error {
	record, err := contract.ReadRecord(filepath.Join(s.Artifacts, report.CasesDir, contract.RecordFile))
	if err == nil {
		check.Ledger.Merge(record)
	} else if !ended && errors.Is(err, contract.ErrNoRecord) {
		con.Warn("the tests did not end, so their exchanges are not in the check against %s", check.Document.File)
		err = nil
	}
	r.Contract = check.Report()
	content, encodeErr := json.MarshalIndent(r.Contract, "", "  ")
	if encodeErr == nil {
		encodeErr = os.WriteFile(filepath.Join(s.Artifacts, contractFile), append(content, '\n'), 0o644)
	}
	if err = errors.Join(err, encodeErr); err != nil {
		return fmt.Errorf("check the API against %s: %w", check.Document.File, err)
	}

	problem := r.contractProblem(s, ended)
	test := &report.Test{Name: contractTest, Outcome: report.Passed, Reason: problem}
	switch {
	case problem == "":
	case r.Subject.Ours || s.OpenAPIStrict:
		test.Outcome = report.Failed
		err = errors.New(problem)
	default:
		test.Outcome = report.Skipped
		con.Warn("%s (E2E_OPENAPI_STRICT=1 makes this a failure)", problem)
	}
	r.Tests = append(r.Tests, test)
	return err
}

// contractProblem is what is wrong, or empty.
func (r *Report) contractProblem(s *settings.Suite, ended bool) string {
	var parts []string
	add := func(what string, drift []contract.Drift) {
		if len(drift) == 0 {
			return
		}
		const most = 5
		text := fmt.Sprintf("%d kinds of drift %s:", len(drift), what)
		for _, d := range drift[:min(len(drift), most)] {
			text += "\n  " + d.String()
		}
		if more := len(drift) - most; more > 0 {
			text += fmt.Sprintf("\n  and %d more", more)
		}
		parts = append(parts, text)
	}
	var unexplained, stale []contract.Drift
	for _, row := range r.Contract.Unexplained() {
		unexplained = append(unexplained, row.Drift)
	}
	if wholeRun := ended && s.Tests.Suite == settings.Full && s.Pattern == ""; wholeRun {
		for _, row := range r.Contract.Stale {
			stale = append(stale, row.Drift)
		}
	}
	add("that "+contract.ExpectedFile+" does not explain", unexplained)
	add("that "+contract.ExpectedFile+" has and no exchange of this run", stale)
	if r.Contract.Exchanges == 0 {
		parts = append(parts, "not one exchange was seen")
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("check the API against %s: %s\nthe whole table is above and in %s", r.Contract.Document,
		strings.Join(parts, "\n"), filepath.Join(s.Artifacts, contractFile))
}
