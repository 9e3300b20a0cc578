package gobuild

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"

	"github.com/cedana/cedana-e2e/targets/console"
)

func TestRepositoryIsFoundFromInsideAPackage(t *testing.T) {
	t.Parallel()
	root, err := Root()
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(root, "targets/build/gobuild/gobuild_test.go"))
}

func TestOutputIsSortedIntoProgressAndProblems(t *testing.T) {
	t.Parallel()
	var begun []string
	out := &output{begins: func(pkg string) { begun = append(begun, pkg) }}
	require.Equal(t, "reading packages", out.state(0).Detail)
	for _, piece := range []string{"go: downloading k8s.io/api v0.34.4\nk8s.io/", "api/core/v1\n", "# k8s.io/api/apps/v1\napps.go:1:2: undefined: x\n", "no newline"} {
		_, err := out.Write([]byte(piece))
		require.NoError(t, err)
	}
	require.Equal(t, "1 packages, now k8s.io/api/core/v1", out.state(0).Detail)
	known := out.state(40)
	require.Equal(t, []any{0, 40, "k8s.io/api/core/v1"}, []any{known.Done, known.Total, known.Detail}, "it has only begun")
	require.Equal(t, []string{"k8s.io/api/core/v1"}, begun)
	require.Equal(t, "# k8s.io/api/apps/v1\napps.go:1:2: undefined: x\nno newline", out.problems())
}

func TestAFailureHasTheCommandAndTheCompilersWords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module x\n\ngo 1.26\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.go"), []byte("package x\n\nvar A = missing\n"), 0o600))
	_, err := Run(t.Context(), console.Quiet{}, Command{What: "compile x", Dir: dir, Args: append([]string{"build"}, Flags()...)})
	require.ErrorContains(t, err, "compile x: go build: exit status 1")
	require.ErrorContains(t, err, "undefined: missing")
}

func TestTheFlagsCanBeInTheEnvironment(t *testing.T) {
	t.Parallel()
	out, err := Run(t.Context(), console.Quiet{}, Command{
		What: "list", Args: []string{"list", "-f", "{{.Name}}", "."}, Env: []string{"GOFLAGS=" + GoFlags("-mod=readonly")},
	})
	require.NoError(t, err)
	require.Equal(t, "gobuild\n", string(out))
}

// compiledTwice are the modules of which much is compiled for the targets and for the node.
var compiledTwice = regexp.MustCompile(`^(k8s\.io|sigs\.k8s\.io|golang\.org/x|google\.golang\.org|go\.opentelemetry\.io/otel|go\.yaml\.in)/`)

// Another version is another package: it would be compiled for each, for minutes on a small machine.
func TestTheTargetsAndTheNodeShareTheirVersions(t *testing.T) {
	t.Parallel()
	root, err := Root()
	require.NoError(t, err)
	targets, node := versions(t, root), versions(t, filepath.Join(root, "targets/local/node/kubernetes"))
	shared := 0
	for module, version := range targets {
		if other, ok := node[module]; ok && compiledTwice.MatchString(module) {
			shared++
			assert.Equal(t, version, other, "%s in targets/local/node/kubernetes/go.mod", module)
		}
	}
	require.Greater(t, shared, 20)
}

// versions are a module's requirements, with what replaces them.
func versions(t *testing.T, dir string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	require.NoError(t, err)
	file, err := modfile.Parse("go.mod", content, nil)
	require.NoError(t, err)
	out := map[string]string{}
	for _, r := range file.Require {
		out[r.Mod.Path] = r.Mod.Version
	}
	for _, r := range file.Replace {
		if _, ok := out[r.Old.Path]; ok {
			out[r.Old.Path] = r.New.Version
		}
	}
	return out
}
