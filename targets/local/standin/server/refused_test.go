package server

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

func TestARestoreThatNobodyCanDoEndsAtOnceAndIsNobodysWork(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.pod("c", "uid")
	source := r.checkpoint(cluster, "uid")
	refused := func() string {
		t.Helper()
		id, err := r.client.RestorePod(t.Context(), propagator.RestorePodRequest{ActionID: source, ClusterID: cluster})
		require.NoError(t, err)
		assert.Nil(t, r.poll(work.RoleManager, cluster, 0))
		return r.ends(id)
	}
	whole := []byte("archive of " + source)
	path := "checkpoints/" + source + ".tar"
	r.put(path, append([]byte("A"), whole[1:]...))
	assert.Regexp(t, `^ArchiveDamaged: archive of container main is damaged: `, refused())
	r.put(path, whole[1:])
	assert.Regexp(t, `^ArchiveDamaged: `, refused())
	r.put(path, whole)

	row := r.row(source)
	r.putInfo(row.ID, propagator.CheckpointInfoRequest{GPU: "none", Platform: row.Platform, Info: json.RawMessage(`{"needs": {"format": 1000}}`)})
	assert.Regexp(t, `^FormatTooNew: .* has format 1000, `, refused())
	r.putInfo(row.ID, propagator.CheckpointInfoRequest{GPU: "none", Platform: "linux/other", Info: row.Info})

	r.restore(cluster, source)
	assert.Nil(t, r.poll(work.RoleManager, cluster, 0), "one restore is one work")
	id, err := r.client.RestorePod(t.Context(), propagator.RestorePodRequest{ActionID: source, ClusterID: cluster})
	require.NoError(t, err)
	w := r.poll(work.RoleManager, cluster, time.Second)
	require.NotNil(t, w)
	require.Equal(t, id, w.ActionID)
	require.Len(t, w.Restore.Containers, 1)
	assert.Equal(t, "linux/other", w.Restore.Containers[0].Platform, "the manager is told what the row says by then")
}
