package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A bounding set without CAP_SYS_RESOURCE, bit 24.
const bounding = 0x1fffeffffff

func TestBoundingSetIsReadFromStatus(t *testing.T) {
	t.Parallel()
	got, err := boundingSet("Name:\tx\nCapEff:\t0000000000000000\nCapBnd:\t000001fffeffffff\n")
	require.NoError(t, err)
	assert.EqualValues(t, bounding, got)
	_, err = boundingSet("Name:\tx\n")
	assert.Error(t, err)
}

func TestOnlyWhatTheHostLacksIsTakenOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in, want string
		keys     []string
	}{
		"every list of a container": {
			in:   `{"process":{"capabilities":{"bounding":["CAP_CHOWN","CAP_SYS_RESOURCE"],"effective":["CAP_SYS_RESOURCE"]}}}`,
			want: `{"process":{"capabilities":{"bounding":["CAP_CHOWN"],"effective":[]}}}`,
			keys: []string{"process", "capabilities"},
		},
		"an exec": {
			in:   `{"args":["sh"],"capabilities":{"permitted":["CAP_SYS_RESOURCE","CAP_KILL"]}}`,
			want: `{"args":["sh"],"capabilities":{"permitted":["CAP_KILL"]}}`,
			keys: []string{"capabilities"},
		},
		"big numbers stay exact":            {in: `{"linux":{"limit":9223372036854775807}}`, want: `{"linux":{"limit":9223372036854775807}}`, keys: []string{"process", "capabilities"}},
		"no process":                        {in: `{"process":null}`, want: `{"process":null}`, keys: []string{"process", "capabilities"}},
		"a capability that is not known":    {in: `{"capabilities":{"bounding":["CAP_NEW"]}}`, want: `{"capabilities":{"bounding":["CAP_NEW"]}}`, keys: []string{"capabilities"}},
		"capabilities that are not a value": {in: `{"capabilities":null}`, want: `{"capabilities":null}`, keys: []string{"capabilities"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "config.json")
			require.NoError(t, os.WriteFile(file, []byte(c.in), 0o600))
			require.NoError(t, filterFile(file, bounding, c.keys...))
			got, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.JSONEq(t, c.want, string(got))
			assert.True(t, json.Valid(got))
			if c.in == c.want {
				assert.Equal(t, c.want, string(got))
			}
			info, err := os.Stat(file)
			require.NoError(t, err)
			assert.EqualValues(t, 0o600, info.Mode().Perm())
		})
	}
}

func TestOptionsAreFoundInBothSpellings(t *testing.T) {
	t.Parallel()
	args := []string{"--root", "/r", "create", "--bundle", "/b", "--pid-file=/p", "id"}
	assert.Equal(t, "/b", option(args, "--bundle", "-b"))
	assert.Equal(t, "/p", option(args, "--pid-file"))
	assert.Empty(t, option(args, "--process", "-p"))
	assert.Empty(t, option([]string{"--bundle"}, "--bundle"))
}
