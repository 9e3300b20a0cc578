// Package listing prints what a propagator has: checkpoints, actions and clusters.
package listing

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// list is how one kind of rows is printed.
type list[Row any] struct {
	// one and many name the rows ("checkpoint", "checkpoints"), of says what they were narrowed to (" of cluster x").
	one, many, of string
	// read makes a row of what the server sent.
	read    func(json.RawMessage) (Row, error)
	columns []column[Row]
	// when and id are the order: the newest first.
	when func(Row) time.Time
	id   func(Row) string
	// ofUnknownCluster, which may be nil, says of a row that it may be another cluster's.
	ofUnknownCluster func(Row) bool
}

// column is one of the table; it is shown if any row has something in it.
type column[Row any] struct {
	title string
	cell  func(Row) string
}

// print writes the rows to the console's data: as a table, or with FORMAT=json as the API gave them. That there are
// none is said on the console's progress; the JSON is then [].
func (l list[Row]) print(con *console.Console, s *settings.Listing, raw []json.RawMessage) error {
	if len(raw) == 0 {
		con.Step("there are no %s%s", l.many, l.of)
	}
	if s.Format == "json" {
		return l.json(con.Data(), raw)
	}
	rows := make([]Row, len(raw))
	unsure := 0
	for i, one := range raw {
		var err error
		if rows[i], err = l.read(one); err != nil {
			return fmt.Errorf("read %s %d of the list: %w; FORMAT=json shows what the propagator sent", l.one, i+1, err)
		}
		if l.ofUnknownCluster != nil && s.ClusterID != "" && l.ofUnknownCluster(rows[i]) {
			unsure++
		}
	}
	if unsure > 0 {
		con.Warn("%d of these may be of another cluster than %s: the propagator does not say whose they are", unsure, s.ClusterID)
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		return cmp.Or(l.when(b).Compare(l.when(a)), cmp.Compare(l.id(a), l.id(b)))
	})
	return l.table(con.Data(), rows)
}

func (l list[Row]) table(to io.Writer, rows []Row) error {
	if len(rows) == 0 {
		return nil
	}
	var shown []column[Row]
	for _, c := range l.columns {
		if slices.ContainsFunc(rows, func(r Row) bool { return c.cell(r) != "" }) {
			shown = append(shown, c)
		}
	}
	var b bytes.Buffer
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(cell func(column[Row]) string) {
		cells := make([]string, len(shown))
		for i, c := range shown {
			cells[i] = oneLine(cell(c))
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	line(func(c column[Row]) string { return c.title })
	for _, r := range rows {
		line(func(c column[Row]) string { return c.cell(r) })
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print %s: %w", l.many, err)
	}
	for line := range strings.Lines(b.String()) {
		// Without the blanks that fill up a row's last, empty cells.
		if _, err := fmt.Fprintln(to, strings.TrimRight(line, " \n")); err != nil {
			return fmt.Errorf("print %s: %w", l.many, err)
		}
	}
	return nil
}

func (l list[Row]) json(to io.Writer, raw []json.RawMessage) error {
	if raw == nil {
		raw = []json.RawMessage{}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(raw); err != nil {
		return fmt.Errorf("encode %s: %w", l.many, err)
	}
	if _, err := b.WriteTo(to); err != nil {
		return fmt.Errorf("print %s: %w", l.many, err)
	}
	return nil
}

// decode is read for rows that are the API's own type.
func decode[T any](raw json.RawMessage) (T, error) {
	var row T
	err := json.Unmarshal(raw, &row)
	return row, err
}

// narrowed says in words what a list was narrowed to: pairs of a name and a value, of which the empty ones say
// nothing.
func narrowed(pairs ...string) string {
	var of strings.Builder
	for pair := range slices.Chunk(pairs, 2) {
		if pair[1] != "" {
			of.WriteString(" of " + pair[0] + " " + pair[1])
		}
	}
	return of.String()
}

// moment is a time for a cell; none is empty.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// oneLine keeps a server's text from breaking the table, or the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
