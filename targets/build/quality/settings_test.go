package quality

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A setting that no consumer reads is dead. Names are compared, not types: a field called as another one is not noticed.
func TestEverySettingIsReadByItsConsumers(t *testing.T) {
	t.Parallel()
	fields, read := map[string]string{}, map[string]bool{}
	for _, dir := range []string{"../../../targets", "../../../tests"} {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			declares := strings.HasPrefix(path, "../../../targets/settings/")
			inTests := strings.HasPrefix(path, "../../../tests/e2e/")
			if d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") && !inTests {
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.TypeSpec:
					if s, ok := n.Type.(*ast.StructType); ok && declares {
						for _, f := range s.Fields.List {
							for _, name := range f.Names {
								if name.IsExported() {
									fields[n.Name.Name+"."+name.Name] = name.Name
								}
							}
						}
					}
				case *ast.SelectorExpr:
					if !declares {
						read[n.Sel.Name] = true
					}
				}
				return true
			})
			return nil
		}))
	}
	require.Greater(t, len(fields), 60, "the settings are found")
	for field, name := range fields {
		if !strings.HasPrefix(field, "Problem.") && !strings.HasPrefix(field, "Variable.") {
			assert.True(t, read[name], "nothing reads %s", field)
		}
	}
}
