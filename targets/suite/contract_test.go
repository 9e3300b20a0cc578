package suite

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/contract"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
)

const document = `{"openapi": "3.1.0", "info": {"title": "small", "version": "1"}, "paths": {"/v2/user": {"get": {"responses": {"200": {"description": "id"}}}}}}`

// checked is a run of the suite settings that has seen this drift, with one row in the table of expected drift.
func checked(t *testing.T, subject Subject, s settings.Suite, ended bool, seen []contract.Counted) (r *Report, err error) {
	t.Helper()
	s.Artifacts = t.TempDir()
	tests := filepath.Join(s.Artifacts, report.CasesDir)
	require.NoError(t, os.MkdirAll(tests, 0o755))
	file := filepath.Join(s.Artifacts, "document.json")
	require.NoError(t, os.WriteFile(file, []byte(document), 0o600))
	d, err := contract.Load(file)
	require.NoError(t, err)
	record := contract.Record{Exchanges: 1, Operations: map[string]int{"GET /v2/user": 1}, Drift: seen}
	require.NoError(t, record.Write(filepath.Join(tests, contract.RecordFile)))
	r = &Report{Subject: subject}
	err = r.checkContract(console.New(io.Discard, io.Discard), &s, &contract.Check{
		Document: d, Ledger: contract.NewLedger(d), Expected: []contract.Expected{{Drift: known.Drift, Why: "a reason"}},
	}, ended)
	require.FileExists(t, filepath.Join(s.Artifacts, contractFile))
	return r, err
}

var (
	known = contract.Counted{Drift: contract.Drift{Operation: "GET /v2/user", Where: contract.InQuery, Name: "a", Document: "not declared", Seen: "sent"}, Count: 1}
	other = contract.Counted{Drift: contract.Drift{Operation: "GET /v2/user", Where: contract.InQuery, Name: "b", Document: "not declared", Seen: "sent"}, Count: 3}
)

func TestTheContractsOutcome(t *testing.T) {
	t.Parallel()
	ours, theirs := Subject{Ours: true}, Subject{}
	var plain, strict, full, some settings.Suite
	strict.OpenAPIStrict = true
	full.Tests.Suite, some.Tests.Suite, some.Pattern = settings.Full, settings.Full, "TestA"
	for name, c := range map[string]struct {
		subject  Subject
		settings settings.Suite
		ended    bool
		seen     []contract.Counted
		want     report.Outcome
	}{
		"explained drift":                    {ours, plain, true, []contract.Counted{known}, report.Passed},
		"drift that nothing explains":        {ours, plain, true, []contract.Counted{known, other}, report.Failed},
		"the same on the live backend":       {theirs, plain, true, []contract.Counted{known, other}, report.Skipped},
		"and strict":                         {theirs, strict, true, []contract.Counted{known, other}, report.Failed},
		"a stale row in a full run":          {ours, full, true, nil, report.Failed},
		"a stale row in a run of some tests": {ours, some, true, nil, report.Passed},
		"a stale row in another group":       {ours, plain, true, nil, report.Passed},
		"a stale row in a run that failed":   {ours, full, false, nil, report.Passed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := checked(t, c.subject, c.settings, c.ended, c.seen)
			require.Len(t, r.Tests, 1)
			require.Equal(t, contractTest, r.Tests[0].Name)
			require.Equal(t, c.want, r.Tests[0].Outcome)
			require.Equal(t, c.want == report.Failed, err != nil, "%v", err)
		})
	}
}

func TestATestProgramThatPassedWithoutARecordIsAnError(t *testing.T) {
	t.Parallel()
	s := settings.Suite{Run: settings.Run{Artifacts: t.TempDir()}}
	file := filepath.Join(s.Artifacts, "document.json")
	require.NoError(t, os.WriteFile(file, []byte(document), 0o600))
	d, err := contract.Load(file)
	require.NoError(t, err)
	check := &contract.Check{Document: d, Ledger: contract.NewLedger(d)}
	require.ErrorIs(t, (&Report{Subject: Subject{Ours: true}}).checkContract(console.New(io.Discard, io.Discard), &s, check, true), contract.ErrNoRecord)
	require.ErrorContains(t, (&Report{Subject: Subject{Ours: true}}).checkContract(console.New(io.Discard, io.Discard), &s, check, false), "not one exchange was seen")
}
