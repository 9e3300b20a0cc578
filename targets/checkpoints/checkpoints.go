// Package checkpoints lists what a propagator has stored.
package checkpoints

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// Lister is the part of the propagator's client that lists.
type Lister interface {
	// RawCheckpoints gives each checkpoint as the server sent it.
	RawCheckpoints(ctx context.Context, filter propagator.CheckpointFilter) ([]json.RawMessage, error)
}

// List prints the checkpoints of the cluster CLUSTER_ID, or all of them, to the console's data: as a table, the newest
// first, or with FORMAT=json as the API gave them. That there are none is said on the console's progress; the JSON is
// then [].
func List(ctx context.Context, con *console.Console, api Lister, s *settings.Settings) error {
	raw, err := api.RawCheckpoints(ctx, propagator.CheckpointFilter{ClusterID: s.ClusterID})
	if err != nil {
		return fmt.Errorf("list checkpoints: %w", err)
	}
	if len(raw) == 0 {
		of := ""
		if s.ClusterID != "" {
			of = " of cluster " + s.ClusterID
		}
		con.Step("there are no checkpoints%s", of)
	}
	if s.Format == "json" {
		return writeJSON(con.Data(), raw)
	}
	rows := make([]row, len(raw))
	strangers := 0
	for i, one := range raw {
		var c propagator.Checkpoint
		if err := json.Unmarshal(one, &c); err != nil {
			return fmt.Errorf("read checkpoint %d of the list: %w; FORMAT=json shows what the propagator sent", i+1, err)
		}
		rows[i] = rowOf(c)
		if s.ClusterID != "" && rows[i].cluster == "" {
			strangers++
		}
	}
	if strangers > 0 {
		con.Warn("%d of these may be of another cluster than %s: the propagator does not say whose they are", strangers, s.ClusterID)
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Or(b.created.Compare(a.created), cmp.Compare(a.id, b.id)) })
	return writeTable(con.Data(), rows)
}

// row is a checkpoint with what its free-form info has. The zero value of each field is "not given".
type row struct {
	id, name, status, platform, gpu string
	size, cluster, pod              string
	created                         time.Time
}

func rowOf(c propagator.Checkpoint) row {
	r := row{id: c.ID, name: c.Name, status: string(c.Status), platform: c.Platform, gpu: c.GPU}
	var info propagator.CheckpointInfo
	// Info has no schema: one that is not as the local server writes it gives nothing.
	if json.Unmarshal(c.Info, &info) != nil {
		return r
	}
	if info.Size > 0 {
		r.size = units.BytesSize(float64(info.Size))
	}
	r.cluster = info.ClusterID
	if info.PodName != "" {
		r.pod = strings.TrimPrefix(info.Namespace+"/"+info.PodName, "/")
	}
	if info.CreatedAt != nil {
		r.created = info.CreatedAt.UTC()
	}
	return r
}

// column is one of the table; it is shown if any checkpoint has something in it.
type column struct {
	title string
	cell  func(row) string
}

var columns = []column{
	{"ID", func(r row) string { return r.id }},
	{"NAME", func(r row) string { return r.name }},
	{"STATUS", func(r row) string { return r.status }},
	{"PLATFORM", func(r row) string { return r.platform }},
	{"GPU", func(r row) string { return r.gpu }},
	{"SIZE", func(r row) string { return r.size }},
	{"CLUSTER", func(r row) string { return r.cluster }},
	{"POD", func(r row) string { return r.pod }},
	{"CREATED", func(r row) string {
		if r.created.IsZero() {
			return ""
		}
		return r.created.Format(time.RFC3339)
	}},
}

func writeTable(to io.Writer, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	var shown []column
	for _, c := range columns {
		if slices.ContainsFunc(rows, func(r row) bool { return c.cell(r) != "" }) {
			shown = append(shown, c)
		}
	}
	var b bytes.Buffer
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(cell func(column) string) {
		cells := make([]string, len(shown))
		for i, c := range shown {
			cells[i] = oneLine(cell(c))
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	line(func(c column) string { return c.title })
	for _, r := range rows {
		line(func(c column) string { return c.cell(r) })
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print checkpoints: %w", err)
	}
	for line := range strings.Lines(b.String()) {
		// Without the blanks that fill up a row's last, empty cells.
		if _, err := fmt.Fprintln(to, strings.TrimRight(line, " \n")); err != nil {
			return fmt.Errorf("print checkpoints: %w", err)
		}
	}
	return nil
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

func writeJSON(to io.Writer, list []json.RawMessage) error {
	if list == nil {
		list = []json.RawMessage{}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(list); err != nil {
		return fmt.Errorf("encode checkpoints: %w", err)
	}
	if _, err := b.WriteTo(to); err != nil {
		return fmt.Errorf("print checkpoints: %w", err)
	}
	return nil
}
