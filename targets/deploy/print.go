package deploy

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// PrintValues prints the final values to the console's data as YAML, each with the file or variable that it came from
// as a comment, and secrets as `***`. A value that the chart does not know is an error, told after the values; a chart
// that would have to be fetched is not looked at, which is said. opts.ClusterID is printed where CLUSTER_ID is not
// set.
func PrintValues(con *console.Console, s *settings.Deploy, opts Options) error {
	opts = opts.withDefaults(s)
	mask := mask.New(opts.Token, s.Token, opts.RegistryPassword)
	values, err := Values(s, opts, cmp.Or(s.ClusterID, opts.ClusterID))
	if err != nil {
		return mask.Error(err)
	}
	var b bytes.Buffer
	if err := writeValues(&b, values); err != nil {
		return mask.Error(err)
	}
	if _, err := io.WriteString(con.Data(), mask.Text(b.String())); err != nil {
		return fmt.Errorf("print values: %w", err)
	}
	return mask.Error(checkKeys(con, s, opts))
}

// checkKeys compares the values with a chart that is at hand.
func checkKeys(con *console.Console, s *settings.Deploy, opts Options) error {
	ref, err := resolveChart(s.HelmChart, opts.Chart)
	if err != nil {
		return err
	}
	if ref.remote() {
		con.Step("not compared with the keys of chart %s, which deploy fetches and compares", ref)
		return nil
	}
	c, err := readChart(ref)
	if err != nil {
		return fmt.Errorf("load chart %s: %w", ref, err)
	}
	all, err := layers(s, opts, s.ClusterID)
	if err != nil {
		return err
	}
	return unknownKeys(c, all)
}

// writeValues writes values, which are in the order of their paths, as YAML with their sources as comments.
func writeValues(to io.Writer, values []Value) error {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, v := range values {
		node := &yaml.Node{}
		if err := node.Encode(v.Value); err != nil {
			return fmt.Errorf("encode value %s: %w", v.Path, err)
		}
		parts := strings.Split(v.Path, ".")
		table := root
		for _, part := range parts[:len(parts)-1] {
			table = tableAt(table, part)
		}
		key := &yaml.Node{Kind: yaml.ScalarNode, Value: parts[len(parts)-1]}
		if len(node.Content) > 0 {
			// After a list or table it would stand behind the last of its lines.
			key.HeadComment = "from " + v.Source
		} else {
			node.LineComment = "from " + v.Source
		}
		table.Content = append(table.Content, key, node)
	}
	encoder := yaml.NewEncoder(to)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		return fmt.Errorf("encode values: %w", err)
	}
	return encoder.Close()
}

// tableAt is the table of that name in a table; it is made where it is not there.
func tableAt(table *yaml.Node, name string) *yaml.Node {
	for pair := range slices.Chunk(table.Content, 2) {
		if pair[0].Value == name && pair[1].Kind == yaml.MappingNode {
			return pair[1]
		}
	}
	below := &yaml.Node{Kind: yaml.MappingNode}
	table.Content = append(table.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, below)
	return below
}
