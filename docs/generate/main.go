// Command generate writes the tables of environment variables into the documents that are its arguments, from the
// declarations in the code. A table stands between the lines
//
//	<!-- variables -->
//	<!-- end -->
//
// where the first may name the variables that are wanted: `<!-- variables: SUITE E2E_RUN -->`. Without names it is all
// of them, under the headings of their groups.
package main

//go:generate go run . ../../README.md ../variables.md

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/sethvargo/go-envconfig"

	"github.com/cedana/cedana-e2e/targets/local/labsettings"
	"github.com/cedana/cedana-e2e/targets/settings"
)

func main() {
	for _, path := range os.Args[1:] {
		if err := update(path); err != nil {
			fmt.Fprintln(os.Stderr, "Error: write tables of variables:", err)
			os.Exit(1)
		}
	}
}

func update(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	with, err := filled(text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if bytes.Equal(text, with) {
		return nil
	}
	return os.WriteFile(path, with, 0o644)
}

// declared are all variables that there are.
func declared() []settings.Variable {
	v := settings.NewVariables(envconfig.MapLookuper(nil))
	settings.Read(v, &labsettings.Settings{})
	return v.Declared()
}

var tables = regexp.MustCompile(`(?s)(<!-- variables(?:: ([A-Z0-9_ ]+))? -->\n).*?(<!-- end -->)`)

// filled is a document with its tables as they should be.
func filled(text []byte) ([]byte, error) {
	if !tables.Match(text) {
		return nil, fmt.Errorf("there is no <!-- variables --> with an <!-- end -->")
	}
	var err error
	out := tables.ReplaceAllFunc(text, func(found []byte) []byte {
		parts := tables.FindSubmatch(found)
		var table string
		if len(parts[2]) == 0 {
			table = all(declared())
		} else if one, pickErr := pick(declared(), strings.Fields(string(parts[2]))); pickErr != nil {
			err = pickErr
		} else {
			table = one
		}
		return slices.Concat(parts[1], []byte("\n"+table+"\n"), parts[3])
	})
	return out, err
}

func all(variables []settings.Variable) string {
	var b strings.Builder
	for at := 0; at < len(variables); {
		group := variables[at].Group
		end := at
		for end < len(variables) && variables[end].Group == group {
			end++
		}
		if at > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "### %s\n\n%s", group, table(variables[at:end]))
		at = end
	}
	return b.String()
}

func pick(variables []settings.Variable, names []string) (string, error) {
	var out []settings.Variable
	for _, name := range names {
		at := slices.IndexFunc(variables, func(v settings.Variable) bool { return v.Name == name })
		if at < 0 {
			return "", fmt.Errorf("there is no variable %s", name)
		}
		out = append(out, variables[at])
	}
	return table(out), nil
}

// table has a column for who reads a variable only where there is something in it.
func table(variables []settings.Variable) string {
	read := slices.ContainsFunc(variables, func(v settings.Variable) bool { return v.For != "" })
	var b strings.Builder
	row := func(name, standard, who, doc string) {
		cells := []string{name, standard, doc}
		if read {
			cells = []string{name, standard, who, doc}
		}
		b.WriteString(strings.TrimRight("| "+strings.Join(cells, " | "), " ") + " |\n")
	}
	row("variable", "default", "read for", "meaning")
	row("---", "---", "---", "---")
	for _, v := range variables {
		standard := v.DefaultText
		if standard == "" && v.Default != "" {
			standard = "`" + v.Default + "`"
		}
		row("`"+v.Name+"`", standard, v.For, v.Doc)
	}
	return b.String()
}
