package targets

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// platformsFile is in the repository.
const platformsFile = "docs/platforms.md"

// platformsTable is where its table of machines is.
var platformsTable = regexp.MustCompile(`(?s)<!-- machines -->\n.*?<!-- end -->`)

// Platforms puts what the runs in the artifacts directory have seen into the table of machines.
func Platforms(context.Context) error {
	s, err := settings.Load()
	if err != nil {
		return err
	}
	root, err := gobuild.Root()
	if err != nil {
		return err
	}
	runs, err := report.RunsBelow(s.Artifacts)
	if err != nil {
		return err
	}
	file := filepath.Join(root, platformsFile)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	table := platformsTable.Find(text)
	if table == nil {
		return fmt.Errorf("find the table of machines in %s: it stands between the lines <!-- machines --> and <!-- end -->", file)
	}
	platforms := report.ParsePlatforms(string(table))
	for _, run := range runs {
		word := "is not of a machine that is known, or of a group that the table has"
		if platforms.Add(run) {
			word = "is in the table"
		}
		fmt.Fprintf(os.Stderr, "- run %s, %s: %s\n", run.ID, run.Counts(), word)
	}
	text = platformsTable.ReplaceAllFunc(text, func([]byte) []byte { return []byte("<!-- machines -->\n\n" + platforms.Table() + "\n<!-- end -->") })
	return atomicfile.Write(file, text, 0o644)
}
