// Package chartsvalues holds the values files that are layered under what a run gives, compiled in so that a run does
// not depend on the directory it is started in.
package chartsvalues

import "embed"

// Files has base.yaml, local.yaml, live.yaml, nodes.yaml and ci.yaml.
//
//go:embed *.yaml
var Files embed.FS
