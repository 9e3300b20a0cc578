package helper

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/archive"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

func TestARequestOverridesTheNodesOptions(t *testing.T) {
	t.Parallel()
	h := &Helper{compression: archive.CompressionGzip}
	own := options{compression: archive.CompressionGzip, directory: "checkpoints"}
	with := func(change func(*options)) options { o := own; change(&o); return o }
	for name, tc := range map[string]struct {
		request work.Checkpoint
		want    options
	}{
		"nothing":         {work.Checkpoint{}, own},
		"empty overrides": {work.Checkpoint{Overrides: &propagator.CheckpointOverrides{}}, own},
		"compression": {work.Checkpoint{Overrides: &propagator.CheckpointOverrides{Compression: "lz4"}},
			with(func(o *options) { o.compression = archive.CompressionLZ4 })},
		"no compression": {work.Checkpoint{Overrides: &propagator.CheckpointOverrides{Compression: "none"}},
			with(func(o *options) { o.compression = archive.CompressionNone })},
		"directory": {work.Checkpoint{Overrides: &propagator.CheckpointOverrides{Directory: "cedana://ci/nightly/"}},
			with(func(o *options) { o.directory = "ci/nightly" })},
		"asynchronous": {work.Checkpoint{Overrides: &propagator.CheckpointOverrides{Asynchronous: true}},
			with(func(o *options) { o.tellOfDump = true })},
	} {
		got, err := h.options(&tc.request)
		require.NoError(t, err, name)
		require.Equal(t, tc.want, got, name)
	}
	_, err := h.options(&work.Checkpoint{Overrides: &propagator.CheckpointOverrides{Compression: "odd"}})
	require.ErrorContains(t, err, "odd")
}
