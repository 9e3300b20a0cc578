package checks

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/artifacts"
	"github.com/cedana/cedana-e2e/targets/measured"
)

// Within reports a figure that is over its budget; it does not end the test.
func (c *Checks) Within(what string, took time.Duration, budget float64, of string, base time.Duration) {
	c.Helper()
	ratio := float64(took) / float64(base)
	line := fmt.Sprintf("%s takes %s, %.2f times %s (%s); the budget is %.2f times", what, took.Round(time.Millisecond), ratio, of,
		base.Round(time.Millisecond), budget)
	if ratio > budget {
		c.Error(line)
		return
	}
	c.Logf("%s", line)
}

// Report prints a set of times and keeps it, whether the test passes or not.
func (c *Checks) Report(name string, times *measured.Times) {
	c.Helper()
	var table strings.Builder
	if err := times.Write(&table); err != nil {
		c.Errorf("write times: %v", err)
	}
	c.Logf("\n%s", table.String())
	kept := &artifacts.Directory{Path: c.Env.Artifacts, Secret: c.Env.Token}
	name = filepath.Join(artifacts.MeasuredDir, name)
	if err := kept.WriteJSON(name+".json", times); err != nil {
		c.Errorf("keep times: %v", err)
	}
	if err := kept.Write(name+".txt", []byte(table.String())); err != nil {
		c.Errorf("keep times: %v", err)
	}
}
