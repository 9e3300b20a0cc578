package contract

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Check is what a run needs to check the API's contract.
type Check struct {
	Document *Document
	// Expected is drift that is explained.
	Expected []Expected
	// Ledger has what this process saw.
	Ledger *Ledger
}

// NewCheck reads the document and, in the repository dir, the table of expected drift.
func NewCheck(document, dir string) (*Check, error) {
	d, err := Load(document)
	if err != nil {
		return nil, err
	}
	expected, err := ReadExpected(dir + "/" + ExpectedFile)
	if err != nil {
		return nil, err
	}
	return &Check{Document: d, Expected: expected, Ledger: NewLedger(d)}, nil
}

// Report is what a run's exchanges say about the contract.
type Report struct {
	// Document is the name of the document's file.
	Document  string `json:"document"`
	Exchanges int    `json:"exchanges"`
	// Operations is how many exchanges of each operation there were.
	Operations map[string]int `json:"operations"`
	// Rows are all kinds of drift: first those that nothing explains.
	Rows []Row `json:"drift"`
	// Stale are rows of the table of expected drift that apply to this document and were not seen.
	Stale []Expected `json:"stale"`
}

// Row is a kind of drift, with the reason for it if the table has one.
type Row struct {
	Counted
	Why string `json:"why,omitempty"`
}

// Report compares what was seen with what is expected.
func (c *Check) Report() *Report {
	record := c.Ledger.Record()
	r := &Report{Document: c.Document.File, Exchanges: record.Exchanges, Operations: record.Operations, Rows: []Row{}, Stale: []Expected{}}
	used := make([]bool, len(c.Expected))
	var explained []Row
	for _, d := range record.Drift {
		row := Row{Counted: d}
		for i, e := range c.Expected {
			if e.matches(d.Drift) {
				used[i], row.Why = true, e.Why
			}
		}
		if row.Why == "" {
			r.Rows = append(r.Rows, row)
		} else {
			explained = append(explained, row)
		}
	}
	r.Rows = append(r.Rows, explained...)
	for i, e := range c.Expected {
		if !used[i] && c.applies(e) {
			r.Stale = append(r.Stale, e)
		}
	}
	return r
}

// applies says that a row is about this document: the published versions have different paths.
func (c *Check) applies(e Expected) bool {
	return e.Operation == "*" || c.Document.has(e.Operation) == (e.Where != InOperation)
}

// Unexplained are the kinds of drift that the table does not have.
func (r *Report) Unexplained() []Row {
	return slices.DeleteFunc(slices.Clone(r.Rows), func(row Row) bool { return row.Why != "" })
}

// Headline is the report in one line.
func (r *Report) Headline() string {
	n := len(r.Unexplained())
	return fmt.Sprintf("%d exchanges checked against %s: %d kinds of drift, %d of them not explained in %s; %d of its rows not seen",
		r.Exchanges, r.Document, len(r.Rows), n, ExpectedFile, len(r.Stale))
}

// Text writes the table for a terminal.
func (r *Report) Text(to io.Writer) error {
	if _, err := fmt.Fprintf(to, "\nOPENAPI: %s\n", r.Headline()); err != nil {
		return err
	}
	if len(r.Rows) > 0 {
		table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "OPERATION\tWHERE\tTHE DOCUMENT SAYS\tSEEN\tTIMES\tEXPLAINED")
		for _, row := range r.Rows {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\n", row.Operation, row.what(), row.Document, row.Seen, row.Count, explained(row.Why))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	for _, e := range r.Stale {
		if _, err := fmt.Fprintf(to, "not seen, though %s has it: %s\n", ExpectedFile, e.Drift); err != nil {
			return err
		}
	}
	return nil
}

func (d Drift) what() string { return strings.TrimSpace(d.Where + " " + d.Name) }

func explained(why string) string {
	if why == "" {
		return "NO"
	}
	return why
}
