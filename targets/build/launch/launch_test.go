package launch

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/console"
)

// The magefile names targets, and the program has them: a name that is in one alone is found when somebody needs it.
func TestTheProgramHasTheTargetsThatTheMagefileNames(t *testing.T) {
	t.Parallel()
	named := names(t, "../../../magefile.go", `launch\.Target\(ctx, "(\w+)"\)`)
	require.Greater(t, len(named), 5)
	require.Equal(t, named, names(t, "../../cmd/cedana-e2e/main.go", `(?m)^\t\t"(\w+)": +targets\.`))
}

func names(t *testing.T, file, pattern string) []string {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	var out []string
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(content), -1) {
		out = append(out, match[1])
	}
	slices.Sort(out)
	return out
}

// Two clones may be at different commits and run at the same time.
func TestEachCloneHasItsOwnProgram(t *testing.T) {
	t.Parallel()
	one := binary("/home", "/clones/one")
	require.NotEqual(t, one, binary("/home", "/clones/other"))
	require.Equal(t, one, binary("/home", "/clones/one"))
}

// Else their compilation would be in vain.
func TestWhatIsCompiledFirstIsNeeded(t *testing.T) {
	t.Parallel()
	root, err := gobuild.Root()
	require.NoError(t, err)
	out, err := gobuild.Run(t.Context(), console.Quiet{}, gobuild.Command{What: "list", Dir: root, Args: []string{"list", "-deps", program}})
	require.NoError(t, err)
	needed := strings.Fields(string(out))
	for _, pkg := range first {
		require.Contains(t, needed, pkg)
	}
}

func TestOnlyWhatIsCertainToBeNeededIsGotAhead(t *testing.T) {
	t.Parallel()
	what := func(target, node string) (out []string) {
		for _, c := range later("/clone", target, node) {
			out = append(out, c.What)
		}
		return out
	}
	const tests, kubernetes = "get the modules of the tests", "get the modules of Kubernetes"
	require.Equal(t, []string{tests, kubernetes}, what("e2e", "source"))
	require.Equal(t, []string{kubernetes}, what("cluster", "source"))
	require.Equal(t, []string{tests}, what("e2e", "k3s"))
	require.Empty(t, what("doctor", "source"))
	require.Empty(t, what("clean", ""))
}
