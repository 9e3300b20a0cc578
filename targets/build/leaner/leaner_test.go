package leaner

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/build/gobuildtest"
	"github.com/cedana/cedana-e2e/targets/console"
)

const testHelpers = "example.com/greet/words/testing.go"

// newBuild is of a program that imports a library, and by the library's test helpers a fake.
func newBuild(t *testing.T) Build {
	t.Helper()
	env := gobuildtest.Publish(t, "example.com/greet", "v1.2.3", map[string]string{
		"words/words.go":   "package words\n\nconst Hello = \"hello\"\n",
		"words/testing.go": "package words\n\nimport _ \"example.com/greet/fake\"\n",
		"fake/fake.go":     "package fake\n",
	})
	module := t.TempDir()
	gobuildtest.Write(t, module, map[string]string{
		"go.mod":  "module example.com/program\n\ngo 1.26\n\nrequire example.com/greet v1.2.3\n",
		"main.go": "package main\n\nimport \"example.com/greet/words\"\n\nfunc main() { println(words.Hello) }\n",
	})
	b := Build{Module: module, Env: env, LeaveOut: []string{testHelpers}, Dir: filepath.Join(t.TempDir(), "a b")}
	run(t, b, "mod", "tidy")
	return b
}

// run is what the go command prints.
func run(t *testing.T, b Build, args ...string) string {
	t.Helper()
	out, err := gobuild.Run(t.Context(), console.Quiet{}, gobuild.Command{What: args[0], Dir: b.Module, Args: args, Env: b.Env})
	require.NoError(t, err)
	return string(out)
}

func dependencies(t *testing.T, b Build, flags ...string) string {
	t.Helper()
	list := []string{"list", "-deps", "-f", `{{if not .Standard}}{{.ImportPath}}{{end}}`}
	return run(t, b, append(append(list, flags...), ".")...)
}

func TestAFileIsLeftOutWithWhatOnlyItImports(t *testing.T) {
	t.Parallel()
	b := newBuild(t)
	require.Equal(t, "example.com/greet/fake\nexample.com/greet/words\nexample.com/program\n", dependencies(t, b))
	flags, err := b.Flags(t.Context(), console.Quiet{})
	require.NoError(t, err)
	require.Equal(t, "example.com/greet/words\nexample.com/program\n", dependencies(t, b, flags...))
	run(t, b, slices.Concat([]string{"build", "-o", filepath.Join(t.TempDir(), "program")}, flags)...)
}

func TestAModuleThatIsNotThereYetIsDownloaded(t *testing.T) {
	t.Parallel()
	b := newBuild(t)
	b.Env = append(b.Env, gobuildtest.EmptyCache(t)...)
	flags, err := b.Flags(t.Context(), console.Quiet{})
	require.NoError(t, err)
	require.NotContains(t, dependencies(t, b, flags...), "fake")
}

// The build cache knows a package by its path.
func TestPathsStayWhenTheModuleCacheMoves(t *testing.T) {
	t.Parallel()
	b := newBuild(t)
	directories := func() string {
		flags, err := b.Flags(t.Context(), console.Quiet{})
		require.NoError(t, err)
		return run(t, b, append(append([]string{"list", "-f", "{{.Dir}}"}, flags...), "example.com/greet/words")...)
	}
	before := directories()
	require.Contains(t, before, b.Dir)
	b.Env = append(b.Env, gobuildtest.EmptyCache(t)...)
	require.Equal(t, before, directories())
}

func TestAReplacementIsReplaced(t *testing.T) {
	t.Parallel()
	b := newBuild(t)
	gobuildtest.Write(t, b.Module, map[string]string{
		"go.mod": "module example.com/program\n\ngo 1.26\n\nrequire example.com/greet v1.0.0\n\nreplace example.com/greet => example.com/greet v1.2.3\n",
	})
	require.Contains(t, dependencies(t, b), "fake")
	flags, err := b.Flags(t.Context(), console.Quiet{})
	require.NoError(t, err)
	require.NotContains(t, dependencies(t, b, flags...), "fake")
}

func TestSeveralMayAskAtOnceAndGetTheSame(t *testing.T) {
	t.Parallel()
	b := newBuild(t)
	all := make([][]string, 4)
	var group errgroup.Group
	for i := range all {
		group.Go(func() (err error) {
			all[i], err = b.Flags(t.Context(), console.Quiet{})
			return err
		})
	}
	require.NoError(t, group.Wait())
	for _, flags := range all {
		require.Equal(t, all[0], flags)
	}
	left, err := filepath.Glob(filepath.Join(b.Dir, "*"))
	require.NoError(t, err)
	require.Len(t, left, 4, "the modules' links, requirements, sums and overlay")
}

func TestAFileThatIsNotThereIsAnErrorThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	b := newBuild(t)
	for name, file := range map[string]string{
		"file":           "example.com/greet/words/gone.go",
		"package":        "example.com/greet/gone/testing.go",
		"module":         "example.com/gone/testing.go",
		"not a module's": "example.com/program/main.go",
		"standard":       "fmt/print.go",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := b
			b.LeaveOut = []string{testHelpers, file}
			_, err := b.Flags(t.Context(), console.Quiet{})
			require.ErrorContains(t, err, "leave out "+file+": ")
			require.ErrorContains(t, err, "take it out of leaveOut")
		})
	}
}
