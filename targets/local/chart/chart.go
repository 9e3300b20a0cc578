// Package chart holds the Helm chart that installs the stand-in.
package chart

import "embed"

// Files are the chart's, Chart.yaml at their top.
//
//go:embed Chart.yaml values.yaml all:templates
var Files embed.FS
