package contract

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// ExpectedFile has the table of drift that is expected, below the repository.
const ExpectedFile = "docs/openapi-drift.md"

// Expected is a row of that table: drift, in which "*" stands for anything, and the reason for it.
type Expected struct {
	Drift
	Why string
}

// matches reports whether the row explains this drift.
func (e Expected) matches(d Drift) bool {
	for _, pair := range [][2]string{
		{e.Operation, d.Operation}, {e.Where, d.Where}, {e.Name, d.Name}, {e.Document, d.Document}, {e.Seen, d.Seen},
	} {
		if pair[0] != "*" && pair[0] != pair[1] {
			return false
		}
	}
	return true
}

// ReadExpected reads the one table of a Markdown file that has these columns. Backticks around a cell do not count.
func ReadExpected(path string) ([]Expected, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the table of expected drift: %w", err)
	}
	rows, err := parseExpected(string(content))
	if err != nil {
		return nil, fmt.Errorf("read the table of expected drift in %s: %w", path, err)
	}
	return rows, nil
}

var (
	columns   = []string{"operation", "where", "name", "the document says", "seen", "why"}
	delimiter = regexp.MustCompile(`^[|\s:-]+$`)
	places    = []string{InOperation, InPath, InQuery, InRequestType, InRequestBody, InResponseStatus, InResponseType, InResponseBody}
)

func parseExpected(text string) ([]Expected, error) {
	rows, inTable, seen := []Expected{}, false, false
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case !inTable:
			if slices.Equal(cells(line), columns) {
				if seen {
					return nil, fmt.Errorf("line %d: there is a second table", i+1)
				}
				inTable, seen = true, true
			}
		case delimiter.MatchString(line):
		default:
			row, err := parseRow(cells(line))
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			rows = append(rows, row)
		}
	}
	if !seen {
		return nil, fmt.Errorf("it has no table with the columns %s", strings.Join(columns, ", "))
	}
	return rows, nil
}

func parseRow(cells []string) (Expected, error) {
	if len(cells) != len(columns) {
		return Expected{}, fmt.Errorf("%d cells, want %d", len(cells), len(columns))
	}
	row := Expected{Drift{cells[0], cells[1], cells[2], cells[3], cells[4]}, cells[5]}
	if !slices.Contains(places, row.Where) {
		return row, fmt.Errorf("%q is not one of %s", row.Where, strings.Join(places, ", "))
	}
	if row.Operation == "" || row.Why == "" {
		return row, errors.New("a row needs an operation and a reason")
	}
	return row, nil
}

func cells(line string) []string {
	const escaped = "\x00"
	line = strings.ReplaceAll(strings.Trim(strings.TrimSpace(line), "|"), `\|`, escaped)
	parts := strings.Split(line, "|")
	for i, p := range parts {
		p = strings.TrimSpace(strings.ReplaceAll(p, escaped, "|"))
		if code := strings.Trim(p, "`"); p == "`"+code+"`" {
			p = code
		}
		parts[i] = p
	}
	return parts
}
