package image

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/build/gobuildtest"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/console/consoletest"
)

// newRepository is a repository with a command that prints a library's greeting and an embedded file.
func newRepository(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	gobuildtest.Write(t, root, map[string]string{
		"go.mod":              "module " + gobuild.ModulePath + "\n\ngo 1.26\n",
		"cmd/hi/main.go":      "package main\n\nimport (\n\t_ \"embed\"\n\n\t\"" + gobuild.ModulePath + "/lib\"\n)\n\n//go:embed data/name\nvar name string\n\nvar version string\n\nfunc main() { print(lib.Greeting, name, version) }\n",
		"cmd/hi/data/name":    "world",
		"lib/lib.go":          "package lib\n\nconst Greeting = \"hello \"\n",
		"unrelated/thing.go":  "package unrelated\n",
		"nested/go.mod":       "module nested\n\ngo 1.26\n",
		"nested/main.go":      "package main\n\nfunc main() { print(\"nested\") }\n",
		"cmd/hi/main_test.go": "package main\n",
	})
	return root
}

var hi = Program{Name: "hi", Package: "./cmd/hi", Flags: []string{"-ldflags=-s -w -X main.version=!"}}

func TestLinkingIsSaidOnceWhenThereIsSomethingToBuild(t *testing.T) {
	t.Parallel()
	for _, p := range []Program{hi, {Name: "nested", Module: "nested", Package: "."}} {
		store := storeOf(t, newRepository(t), console.Quiet{})
		said := 0
		p.Linking = func() { said++ }
		for range 2 {
			_, err := store.Program(t.Context(), p)
			require.NoError(t, err)
			require.Equal(t, 1, said, p.Name)
		}
	}
}

func storeOf(t *testing.T, root string, progress console.Progress) *Store {
	t.Helper()
	store := NewStore(t.TempDir(), progress)
	store.root = func() (string, error) { return root, nil }
	return store
}

func output(t *testing.T, binary Binary) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary.Path).CombinedOutput()
	require.NoError(t, err)
	return string(out)
}

func TestProgramIsBuiltAgainOnlyWhenItsSourcesChange(t *testing.T) {
	t.Parallel()
	root, heard := newRepository(t), &consoletest.Recorder{}
	store := storeOf(t, root, heard)
	build := func() Binary {
		binary, err := store.Program(t.Context(), hi)
		require.NoError(t, err)
		return binary
	}
	first := build()
	require.Equal(t, "hello world!", output(t, first))
	require.Equal(t, []string{"compile hi"}, heard.Take())

	gobuildtest.Write(t, root, map[string]string{
		"unrelated/thing.go":  "package unrelated // changed",
		"cmd/hi/main_test.go": "package main // changed",
		"README.md":           "new",
	})
	require.Equal(t, first, build())
	require.Empty(t, heard.Take(), "nothing that it is made of changed")

	gobuildtest.Write(t, root, map[string]string{"lib/lib.go": "package lib\n\nconst Greeting = \"bye \"\n"})
	require.Equal(t, "bye world!", output(t, build()))
	gobuildtest.Write(t, root, map[string]string{"cmd/hi/data/name": "moon"})
	require.Equal(t, "bye moon!", output(t, build()))
	gobuildtest.Write(t, root, map[string]string{"lib/more.go": "package lib\n\nimport _ \"" + gobuild.ModulePath + "/unrelated\"\n"})
	build()
	heard.Take()
	gobuildtest.Write(t, root, map[string]string{"unrelated/thing.go": "package unrelated // imported by now"})
	build()
	require.Equal(t, []string{"compile hi"}, heard.Take(), "a package that became a dependency counts")

	require.NoError(t, os.RemoveAll(filepath.Join(root, "lib/more.go")))
	require.Equal(t, "bye moon!", output(t, build()))
}

func TestProgramOfANestedModule(t *testing.T) {
	t.Parallel()
	binary, err := storeOf(t, newRepository(t), nil).Program(t.Context(), Program{Name: "nested", Module: "nested", Package: "."})
	require.NoError(t, err)
	require.Equal(t, "nested", output(t, binary))
}

func TestProgramWithoutAFileOfAModule(t *testing.T) {
	t.Parallel()
	root, heard := t.TempDir(), &consoletest.Recorder{}
	env := gobuildtest.Publish(t, "example.com/greet", "v1.2.3", map[string]string{
		"greet.go":   "package greet\n\nconst Hello = \"hello\"\n",
		"testing.go": "package greet\n\nfunc init() { print(\"helpers, \") }\n",
	})
	gobuildtest.Write(t, root, map[string]string{
		"go.mod":  "module " + gobuild.ModulePath + "\n\ngo 1.26\n\nrequire example.com/greet v1.2.3\n",
		"main.go": "package main\n\nimport \"example.com/greet\"\n\nfunc main() { print(greet.Hello) }\n",
	})
	_, err := gobuild.Run(t.Context(), console.Quiet{}, gobuild.Command{What: "get sums", Dir: root, Args: []string{"mod", "tidy"}, Env: env})
	require.NoError(t, err)
	store := NewStore(filepath.Join(root, ".e2e"), heard) // in the repository, as in CI
	store.root = func() (string, error) { return root, nil }
	build := func(p Program) Binary {
		binary, err := store.Program(t.Context(), p)
		require.NoError(t, err)
		return binary
	}
	p := Program{Name: "greeter", Package: ".", Env: env}
	with := build(p)
	require.Equal(t, "helpers, hello", output(t, with))
	p.LeaveOut = []string{"example.com/greet/testing.go"}
	without := build(p)
	require.Equal(t, "hello", output(t, without))
	require.NotEqual(t, with.Key, without.Key)
	heard.Take()
	require.Equal(t, without, build(p))
	require.Empty(t, heard.Take())
	sources, err := store.rememberedSources(p)
	require.NoError(t, err)
	require.Equal(t, []sourceDir{{Path: "."}}, sources, "the module's sum says what is in it")
}

func TestCompilersWordsAreInTheError(t *testing.T) {
	t.Parallel()
	root := newRepository(t)
	gobuildtest.Write(t, root, map[string]string{"lib/lib.go": "package lib\n\nconst Greeting = missing\n"})
	_, err := storeOf(t, root, nil).Program(t.Context(), hi)
	require.ErrorContains(t, err, "build hi")
	require.ErrorContains(t, err, "undefined: missing")
}

func TestUnknownPackageIsAnError(t *testing.T) {
	t.Parallel()
	_, err := storeOf(t, newRepository(t), nil).Program(t.Context(), Program{Name: "none", Package: "./cmd/none"})
	require.ErrorContains(t, err, "cmd/none")
}

func TestStaticImageIsNamedAfterItsProgramAndSettings(t *testing.T) {
	t.Parallel()
	store := storeOf(t, newRepository(t), nil)
	spec := Static{Name: "hi", Program: hi, Path: "/hi", Links: []string{"/bin/hello"}}
	first, err := store.Static(t.Context(), spec)
	require.NoError(t, err)
	again, err := store.Static(t.Context(), spec)
	require.NoError(t, err)
	require.Equal(t, first, again)
	spec.Cmd = []string{"loudly"}
	other, err := store.Static(t.Context(), spec)
	require.NoError(t, err)
	require.NotEqual(t, first.Ref, other.Ref)
}
