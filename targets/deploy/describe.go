package deploy

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// Describe writes the release's history and its values, with secrets masked, as an artifact. The manifest is left
// out: it has the token in it.
func Describe(ctx context.Context, s *settings.Deploy, opts Options, to io.Writer) error {
	opts = opts.withDefaults(s)
	loader, err := loadConfig(opts.Kubeconfig, opts.Context, s.CedanaNamespace)
	if err != nil {
		return err
	}
	cluster, err := connect(ctx, loader)
	if err != nil {
		return err
	}
	cfg, err := cluster.helm(s.CedanaNamespace, func(string, ...any) {})
	if err != nil {
		return err
	}
	history, err := cfg.Releases.History(ReleaseName)
	if err != nil {
		return fmt.Errorf("read history of release %s in namespace %s: %w", ReleaseName, s.CedanaNamespace, err)
	}
	out := mask.New(opts.Token).Writer(to)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REVISION\tUPDATED\tSTATUS\tCHART\tDESCRIPTION")
	for _, r := range history {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s %s\t%s\n", r.Version, r.Info.LastDeployed.UTC().Format(time.RFC3339),
			r.Info.Status, r.Chart.Metadata.Name, r.Chart.Metadata.Version, firstLine(r.Info.Description))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write history of release %s: %w", ReleaseName, err)
	}
	values, err := yaml.Marshal(withoutSecrets(history[len(history)-1].Config))
	if err != nil {
		return fmt.Errorf("encode values of release %s: %w", ReleaseName, err)
	}
	if _, err := fmt.Fprintf(out, "\n# values of the last revision\n%s", values); err != nil {
		return fmt.Errorf("write values of release %s: %w", ReleaseName, err)
	}
	return out.Close()
}

// withoutSecrets masks by key, because a release may have another token than this run.
func withoutSecrets(values map[string]any) map[string]any {
	for path, v := range leaves("", values) {
		values = mergeTables(values, nested(path, masked(path, v)))
	}
	return values
}
