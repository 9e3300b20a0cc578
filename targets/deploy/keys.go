package deploy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template/parse"

	"helm.sh/helm/v3/pkg/chart"
)

// unknownKeys is an error that names each value no part of the chart reads, with the layer it came from and the
// nearest key that the chart knows. Helm itself ignores such a value without a word.
func unknownKeys(c *chart.Chart, all []Layer) error {
	known := knownKeys(c)
	var lines []string
	for _, l := range all {
		for _, path := range slices.Sorted(maps.Keys(maps.Collect(leaves("", l.Values)))) {
			if !known.has(path) {
				lines = append(lines, fmt.Sprintf("%s (from %s): did you mean %s?", path, l.Source, known.nearest(path)))
			}
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return fmt.Errorf("chart %s does not know %d of the values, and would ignore them without a word:\n  %s",
		c.Metadata.Name+" "+c.Metadata.Version, len(lines), strings.Join(lines, "\n  "))
}

// keys are paths of values. An open one takes whatever is below it: the chart has no keys there itself, as with
// nodeSelector, or hands the whole table on.
type keys struct {
	exact map[string]bool
	open  map[string]bool
}

func knownKeys(c *chart.Chart) keys {
	k := keys{exact: map[string]bool{}, open: map[string]bool{"global": true}}
	for path, v := range leaves("", c.Values) {
		k.exact[path] = true
		switch v := v.(type) {
		case nil:
			k.open[path] = true
		case map[string]any: // an empty one: leaves goes into the others
			k.open[path] = true
		case []any:
			k.open[path] = len(v) == 0
		}
	}
	for _, d := range c.Dependencies() {
		k.open[d.Name()] = true
	}
	if c.Metadata != nil {
		for _, d := range c.Metadata.Dependencies {
			k.open[d.Name] = true
			if d.Alias != "" {
				k.open[d.Alias] = true
			}
		}
	}
	read, written := map[string]bool{}, map[string]bool{}
	for _, f := range c.Templates {
		for _, r := range references(f.Name, string(f.Data)) {
			if r.path == "" {
				continue
			}
			k.exact[r.path] = true
			switch {
			case r.written:
				written[r.path] = true
			case r.whole:
				k.open[r.path] = true
			}
			for parent := r.path; strings.Contains(parent, "."); {
				parent = parent[:strings.LastIndex(parent, ".")]
				read[parent] = true
			}
		}
	}
	for path := range written {
		// Where single keys of the table are read too, as with a checksum of config, writing it out uses no other.
		if !read[path] {
			k.open[path] = true
		}
	}
	return k
}

func (k keys) has(path string) bool {
	if k.exact[path] || k.open[path] {
		return true
	}
	for i, r := range path {
		if r == '.' && k.open[path[:i]] {
			return true
		}
	}
	return false
}

func (k keys) nearest(path string) string {
	best, least := "", -1
	for _, candidate := range slices.Sorted(maps.Keys(k.exact)) {
		// The last part counts too: a key that moved to another table is the commonest mistake.
		d := distance(path, candidate)
		if last(path) == last(candidate) {
			d = min(d, 1)
		}
		if least < 0 || d < least {
			best, least = candidate, d
		}
	}
	return best
}

func last(path string) string { return path[strings.LastIndex(path, ".")+1:] }

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// reference is a use of .Values in a template. whole is one that is not merely a condition: whatever is below it may be
// used too, as in `with .Values.x` or `toYaml .Values.x`. written is the latter: a table in it is written out as it is, and no
// key of it is read.
type reference struct {
	path           string
	whole, written bool
}

// writers are the functions that write a table out.
var writers = map[string]bool{"toYaml": true, "toYamlPretty": true, "toJson": true, "toPrettyJson": true, "toRawJson": true, "toToml": true, "toString": true, "print": true, "quote": true}

// references finds the uses of .Values in a template. What cannot be parsed gives none: Helm's own error on
// rendering is the better one.
func references(name, text string) []reference {
	tree := parse.New(name)
	tree.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	if _, err := tree.Parse(text, "", "", trees); err != nil {
		return nil
	}
	var found []reference
	for _, t := range trees {
		if t.Root != nil {
			found = append(found, inNode(t.Root, false)...)
		}
	}
	return found
}

func inNode(node parse.Node, condition bool) []reference {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		return inNodes(n.Nodes, false)
	case *parse.ActionNode:
		return inNode(n.Pipe, condition)
	case *parse.IfNode:
		return inBranch(&n.BranchNode, true)
	case *parse.RangeNode:
		return inBranch(&n.BranchNode, false)
	case *parse.WithNode:
		return inBranch(&n.BranchNode, false)
	case *parse.TemplateNode:
		return inNode(n.Pipe, condition)
	case *parse.PipeNode:
		if n == nil {
			return nil
		}
		var out []reference
		writes := false
		for _, c := range n.Cmds {
			out = append(out, inCommand(c, condition)...)
			f, ok := c.Args[0].(*parse.IdentifierNode)
			writes = writes || ok && writers[f.Ident]
		}
		for i := range out {
			out[i].written = out[i].written || writes && out[i].whole
		}
		return out
	case *parse.ChainNode:
		return inNode(n.Node, condition)
	case *parse.FieldNode:
		return fromIdentifiers(n.Ident, condition)
	case *parse.VariableNode:
		return fromIdentifiers(n.Ident[1:], condition)
	}
	return nil
}

func inNodes(nodes []parse.Node, condition bool) []reference {
	var out []reference
	for _, n := range nodes {
		out = append(out, inNode(n, condition)...)
	}
	return out
}

func inBranch(n *parse.BranchNode, condition bool) []reference {
	out := inNode(n.Pipe, condition)
	out = append(out, inNode(n.List, false)...)
	if n.ElseList != nil {
		out = append(out, inNode(n.ElseList, false)...)
	}
	return out
}

// inCommand knows `index .Values "a" "b"` beside the plain uses.
func inCommand(c *parse.CommandNode, condition bool) []reference {
	if len(c.Args) > 2 {
		if f, ok := c.Args[0].(*parse.IdentifierNode); ok && f.Ident == "index" {
			var out []reference
			for _, r := range inNode(c.Args[1], condition) {
				for _, a := range c.Args[2:] {
					s, ok := a.(*parse.StringNode)
					if !ok {
						break
					}
					r.path = strings.TrimPrefix(r.path+"."+s.Text, ".")
				}
				out = append(out, r)
			}
			return out
		}
	}
	return inNodes(c.Args, condition)
}

func fromIdentifiers(ident []string, condition bool) []reference {
	if len(ident) == 0 || ident[0] != "Values" {
		return nil
	}
	return []reference{{path: strings.Join(ident[1:], "."), whole: !condition}}
}
