// Command cedana-e2e is the targets, for the magefile to run: see package launch.
package main

import (
	"context"
	"os"

	"github.com/cedana/cedana-e2e/targets"
	"github.com/cedana/cedana-e2e/targets/build/launch"
)

func main() {
	os.Exit(launch.Main(map[string]func(context.Context) error{
		"bench":           targets.Bench,
		"clean":           targets.Clean,
		"cluster":         targets.Cluster,
		"compare":         targets.Compare,
		"deploy":          targets.Deploy,
		"deprecate":       targets.Deprecate,
		"doctor":          targets.Doctor,
		"e2e":             targets.E2E,
		"history":         targets.ShowHistory,
		"listActions":     targets.ListActions,
		"listCheckpoints": targets.ListCheckpoints,
		"listClusters":    targets.ListClusters,
		"logs":            targets.Logs,
		"platforms":       targets.Platforms,
		"report":          targets.Report,
		"sensitivity":     targets.Sensitivity,
		"sweep":           targets.Sweep,
		"try":             targets.Try,
		"values":          targets.Values,
		"vm":              targets.VM,
	}))
}
