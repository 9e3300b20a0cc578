package cluster

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/system"

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
	facts := parseVersions(out.String())
	info, err := c.engine.Info(ctx)
	if err != nil {
		return facts, fmt.Errorf("ask the Docker engine at %s for its versions: %w", c.engine.DaemonHost(), err)
	}
	return append(facts, engineFacts(info, os.Geteuid())...), nil
}

// engineFacts are the machine's on which the nodes are, as its Docker engine tells of it, and the user's who runs the targets.
func engineFacts(info system.Info, uid int) []report.Fact {
	storage := info.Driver
	for _, status := range info.DriverStatus {
		if status[0] == "driver-type" && strings.HasPrefix(status[1], "io.containerd.snapshotter") {
			storage += " of containerd" // its image store, Docker's default from 29 on
		}
	}
	var security []string
	for _, option := range info.SecurityOptions {
		// "name=seccomp,profile=builtin"
		name, _, _ := strings.Cut(strings.TrimPrefix(option, "name="), ",")
		if name != "cgroupns" {
			security = append(security, name)
		}
	}
	slices.Sort(security)
	user := "root"
	if uid != 0 {
		user = "not root"
	}
	return []report.Fact{
		{Name: report.SystemFact, Value: info.OperatingSystem}, {Name: report.EngineFact, Value: "Docker " + info.ServerVersion + ", " + storage},
		{Name: report.SecurityFact, Value: strings.Join(security, ", ")}, {Name: report.UserFact, Value: user},
	}
}

func parseVersions(lines string) (facts []report.Fact) {
	for line := range strings.Lines(lines) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), "="); value != "" {
			facts = append(facts, report.Fact{Name: name, Value: value})
		}
	}
	return facts
}
