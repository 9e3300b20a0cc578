package sensitivity

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/cedana/cedana-e2e/targets/console"
)

// publish prints the table and leaves it in the artifacts as JSON and Markdown.
func publish(con *console.Console, dir string, results []Result) error {
	if err := text(con.Data(), results); err != nil {
		return fmt.Errorf("print table: %w", err)
	}
	raw, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return fmt.Errorf("encode table: %w", err)
	}
	for name, content := range map[string][]byte{"sensitivity.json": append(raw, '\n'), "sensitivity.md": markdown(results)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return fmt.Errorf("write table: %w", err)
		}
	}
	return nil
}

func label(r Result) string {
	if r.Fault == "" {
		return "(none)"
	}
	return string(r.Fault)
}

func text(to io.Writer, results []Result) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FAULT\tVERDICT\tSECONDS\tTEST\tMESSAGE")
	for _, r := range results {
		fmt.Fprintf(table, "%s\t%s\t%.1f\t%s\t%s\n", label(r), r.Verdict, r.Seconds, r.Test, r.Message)
	}
	return table.Flush()
}

func markdown(results []Result) []byte {
	var b strings.Builder
	fmt.Fprint(&b, "| fault | what is broken | verdict | test | message | seconds |\n|---|---|---|---|---|---:|\n")
	cell := strings.NewReplacer("|", `\|`, "<", "&lt;")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %.1f |\n", label(r), cell.Replace(r.What), r.Verdict, r.Test, cell.Replace(r.Message), r.Seconds)
	}
	return []byte(b.String())
}
