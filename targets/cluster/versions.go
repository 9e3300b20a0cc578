package cluster

import (
	"context"
	"fmt"
	"strings"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/report"
)

// versionsScript prints a line for each program of a node that the API does not tell of: name and version.
const versionsScript = `
echo "runc=$(runc --version 2>/dev/null | head -n 1 | cut -d' ' -f3)"
echo "CRIU=$(criu --version 2>/dev/null | head -n 1 | cut -d' ' -f2)"
case "$(stat -fc %T /sys/fs/cgroup 2>/dev/null)" in cgroup2fs) echo cgroup=v2 ;; tmpfs) echo cgroup=v1 ;; esac`

// Versions are those of the server's runc, CRIU and cgroups, as far as they are there: Cedana may bring a CRIU of its own.
func (c *Cluster) Versions(ctx context.Context) ([]report.Fact, error) {
	var out strings.Builder
	if err := docker.Exec(ctx, c.engine, c.Nodes[0], nil, &out, "sh", "-c", versionsScript); err != nil {
		return nil, fmt.Errorf("ask node %s for versions: %w", c.Nodes[0], err)
	}
	return parseVersions(out.String()), nil
}

func parseVersions(lines string) (facts []report.Fact) {
	for line := range strings.Lines(lines) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), "="); value != "" {
			facts = append(facts, report.Fact{Name: name, Value: value})
		}
	}
	return facts
}
