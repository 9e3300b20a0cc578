package quality

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// notRaced are packages with concurrency that the race detector does not see, and why.
var notRaced = map[string]string{
	"./targets":              "links k3d and Helm",
	"./targets/cleanup":      "waits for another process, in a test",
	"./targets/cluster":      "links k3d",
	"./targets/deploy":       "links Helm",
	"./targets/local":        "starts the others",
	"./targets/local/engine": "needs a Docker engine for what it does at the same time",
	"./targets/local/node/kubernetes/supervisor": "is in the module that has Kubernetes",
	"./targets/report":                           "has a lock in the test with a browser alone",
	"./tests/e2e":                                "needs a cluster",
	"./tests/kills":                              "needs a cluster",
	"./tests/live":                               "needs a cluster",
	"./tests/refusals":                           "needs a cluster",
}

func TestTheRaceDetectorSeesEveryPackageWithConcurrency(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..", "..")
	seen := map[string]bool{}
	for _, room := range []string{"targets", "tests"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, room), func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.Contains(file, "testdata") {
				return err
			}
			source, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil || !concurrent(source) {
				return err
			}
			relative, err := filepath.Rel(root, filepath.Dir(file))
			seen["./"+filepath.ToSlash(relative)] = true
			return err
		}))
	}
	require.NotEmpty(t, seen)
	for pkg := range seen {
		if notRaced[pkg] == "" {
			require.True(t, covered(pkg), "%s starts goroutines or has locks: add it to raced, or to notRaced with the reason", pkg)
		}
	}
	for pkg := range notRaced {
		require.True(t, seen[pkg] && !covered(pkg), "%s is in notRaced for nothing", pkg)
	}
}

func covered(pkg string) bool {
	for _, pattern := range raced {
		tree, all := strings.CutSuffix(pattern, "/...")
		if pkg == pattern || all && (pkg == tree || strings.HasPrefix(pkg, tree+"/")) {
			return true
		}
	}
	return false
}

// concurrent reports whether a file starts a goroutine or uses locks.
func concurrent(file *ast.File) bool {
	found := false
	for _, i := range file.Imports {
		name := strings.Trim(i.Path.Value, `"`)
		found = found || name == "sync" || path.Dir(name) == "sync" || strings.HasSuffix(name, "/errgroup")
	}
	ast.Inspect(file, func(n ast.Node) bool {
		_, starts := n.(*ast.GoStmt)
		found = found || starts
		return !found
	})
	return found
}
