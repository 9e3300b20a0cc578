package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// times around 200 ms, as of a dump on a machine with noise of a tenth.
func dumps(random *rand.Rand, n int, more time.Duration) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = more + time.Duration((200+20*random.NormFloat64())*float64(time.Millisecond))
	}
	return out
}

func figures(seed uint64, more time.Duration) []Figure {
	random := rand.New(rand.NewPCG(seed, 0))
	return []Figure{
		{Name: "checkpoint", A: dumps(random, 10, 0), Again: dumps(random, 10, 0), B: dumps(random, 10, more)},
		{Name: "restore", A: dumps(random, 10, 0), Again: dumps(random, 10, 0), B: dumps(random, 10, 0)},
	}
}

func TestEqualsAreTheSameAndFiftyMillisecondsAreFound(t *testing.T) {
	t.Parallel()
	const runs = 100
	alarms, found := 0, 0
	for seed := range uint64(runs) {
		if Err(Judge(figures(seed, 0), 10)) != nil {
			alarms++
		}
		if err := Err(Judge(figures(seed, 50*time.Millisecond), 10)); err != nil {
			require.ErrorContains(t, err, "B is slower than A: checkpoint +")
			found++
		}
	}
	require.LessOrEqual(t, alarms, runs/10)
	require.GreaterOrEqual(t, found, runs*9/10)
}

func TestAChangeHasToBeBeyondTheNoiseAndTheThreshold(t *testing.T) {
	t.Parallel()
	at := func(ms ...int) []time.Duration {
		var out []time.Duration
		for _, one := range ms {
			out = append(out, time.Duration(one)*time.Millisecond)
		}
		return out
	}
	a := at(100, 101, 102, 103, 104, 105, 106, 107)
	slow := at(130, 131, 132, 133, 134, 135, 136, 137)
	for name, c := range map[string]struct {
		figure    Figure
		threshold int
		want      Verdict
	}{
		"slower":              {Figure{A: a, Again: a, B: slow}, 10, Slower},
		"faster":              {Figure{A: slow, Again: slow, B: a}, 10, Faster},
		"below the threshold": {Figure{A: a, Again: a, B: slow}, 40, Same},
		"within the noise":    {Figure{A: a, Again: slow, B: at(131, 132, 133, 134, 135, 136, 137, 138)}, 10, Same},
		"too few":             {Figure{A: a[:2], Again: a[:2], B: slow[:2]}, 10, Same},
		"nobody would notice": {Figure{A: at(1, 1, 1, 1, 1, 1, 1, 1), Again: at(1, 1, 1, 1, 1, 1, 1, 1), B: at(2, 2, 2, 2, 2, 2, 2, 2)}, 10, Same},
	} {
		require.Equal(t, c.want, Judge([]Figure{c.figure}, c.threshold)[0].Verdict, name)
	}
}

// fake is the targets of two versions, the second of which takes longer.
type fake struct {
	runs []string
	fail string
}

func (f *fake) run(_ context.Context, s Side, target string, env ...string) error {
	f.runs = append(f.runs, s.Name+" "+target)
	if s.Name+" "+target == f.fail {
		return fmt.Errorf("%s ended with exit status 1", target)
	}
	for _, e := range env {
		if dir, ok := strings.CutPrefix(e, "E2E_ARTIFACTS="); ok {
			took := map[string]time.Duration{"a": 200, "b": 300}[s.Name]*time.Millisecond + time.Duration(len(f.runs))*time.Microsecond
			data, _ := json.Marshal(map[string]any{"Series": []any{map[string]any{"name": "checkpoint", "samples_ns": []time.Duration{took}}}})
			file := filepath.Join(dir, "cases", "measured", "budget-nginx.json")
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return err
			}
			return os.WriteFile(file, data, 0o644)
		}
	}
	return nil
}

func compared(t *testing.T, f *fake) (out string, err error) {
	t.Helper()
	s := &settings.Settings{Compare: settings.Compare{Rounds: 6, Threshold: 10}}
	s.Artifacts, s.Cleanup.Timeout = t.TempDir(), time.Minute
	var data bytes.Buffer
	err = Run(t.Context(), console.New(&bytes.Buffer{}, &data), s, Side{Name: "a", Version: "main"}, Side{Name: "b", Version: "HEAD"}, f.run)
	return data.String(), err
}

func TestBothAreMeasuredInTurnsAndRemoved(t *testing.T) {
	t.Parallel()
	f := &fake{}
	out, err := compared(t, f)
	require.ErrorContains(t, err, "B is slower than A: nginx, checkpoint +50 %")
	require.Contains(t, out, "slower")
	require.Equal(t, []string{"a deploy", "b deploy", "a e2e", "b e2e", "a e2e", "b e2e", "a e2e", "a e2e"}, f.runs[:8], "each round begins with another")
	require.Equal(t, []string{"a clean", "b clean"}, f.runs[len(f.runs)-2:])
	require.Equal(t, 6, count(f.runs, "b e2e"))
	require.Equal(t, 12, count(f.runs, "a e2e"), "A twice")
}

func count(all []string, one string) int {
	n := 0
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

func TestARunThatFailsEndsTheComparisonAndBothAreRemoved(t *testing.T) {
	t.Parallel()
	for _, fail := range []string{"b deploy", "a e2e"} {
		f := &fake{fail: fail}
		_, err := compared(t, f)
		require.ErrorContains(t, err, "exit status 1")
		require.Equal(t, []string{"a clean", "b clean"}, f.runs[len(f.runs)-2:])
	}
}

func TestACloneIsAtTheRevisionAndTheRepositoryIsAsItWas(t *testing.T) {
	t.Parallel()
	repository := t.TempDir()
	run := func(args ...string) {
		cmd := exec.Command("git", append([]string{"-C", repository, "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	run("init", "--quiet")
	for _, text := range []string{"one", "two"} {
		require.NoError(t, os.WriteFile(filepath.Join(repository, "file"), []byte(text), 0o644))
		run("add", "file")
		run("commit", "--quiet", "-m", text)
	}
	before := tree(t, repository)
	into := t.TempDir()
	for range 2 { // made, and found
		path, err := Clone(t.Context(), repository, "HEAD~1", into)
		require.NoError(t, err)
		text, err := os.ReadFile(filepath.Join(path, "file"))
		require.NoError(t, err)
		require.Equal(t, "one", string(text))
	}
	require.Equal(t, before, tree(t, repository))
	_, err := Clone(t.Context(), repository, "nosuch", into)
	require.ErrorContains(t, err, "find revision nosuch")
}

func tree(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		all = append(all, path)
		return err
	}))
	return slices.Clip(all)
}
