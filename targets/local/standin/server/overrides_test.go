package server

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	client "github.com/cedana/cedana-e2e/targets/local/standin/worker"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// Whatever a request asks for is passed on to be done, or refused by its name.
func TestEachOptionOfACheckpointIsTakenOrRefusedByName(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	over := func(o m) m { return m{"overrides": o} }
	for name, tc := range map[string]struct {
		request m
		want    *propagator.CheckpointOverrides // what the helper is given; refused says that nothing is
		refused string
	}{
		"nothing":                  {request: m{}},
		"no overrides":             {request: m{"overrides": nil, "kind": nil, "runc_root": nil}},
		"overrides that are unset": {request: over(m{"compression": nil, "directory": nil, "criu_opts": nil, "incremental": nil, "streams": 0, "asynchronous": false}), want: &propagator.CheckpointOverrides{}},
		"kind simple":              {request: m{"kind": "simple"}},
		"kind rootfs":              {request: m{"kind": "rootfs"}, refused: "kind rootfs "},
		"kind rootfsonly":          {request: m{"kind": "rootfsonly"}, refused: "kind rootfsonly "},
		"a relative runc root":     {request: m{"runc_root": "runc"}, refused: "runc_root"},

		"compression":          {request: over(m{"compression": "lz4"}), want: &propagator.CheckpointOverrides{Compression: "lz4"}},
		"no compression":       {request: over(m{"compression": "none"}), want: &propagator.CheckpointOverrides{Compression: "none"}},
		"odd compression":      {request: over(m{"compression": "odd"}), refused: "overrides.compression"},
		"one stream":           {request: over(m{"streams": 1}), want: &propagator.CheckpointOverrides{Streams: 1}},
		"many streams":         {request: over(m{"streams": 4}), refused: "overrides.streams 4"},
		"fewer than none":      {request: over(m{"streams": -1}), refused: "overrides.streams -1"},
		"directory":            {request: over(m{"directory": "cedana://ci/nightly"}), want: &propagator.CheckpointOverrides{Directory: "cedana://ci/nightly"}},
		"directory on a node":  {request: over(m{"directory": "/tmp"}), refused: "overrides.directory"},
		"directory in a cloud": {request: over(m{"directory": "s3://bucket/x"}), refused: "overrides.directory"},
		"directory above":      {request: over(m{"directory": "cedana://../x"}), refused: "overrides.directory"},
		"asynchronous":         {request: over(m{"asynchronous": true}), want: &propagator.CheckpointOverrides{Asynchronous: true}},
		"incremental":          {request: over(m{"incremental": true}), refused: "overrides.incremental"},
		"not incremental":      {request: over(m{"incremental": false}), want: &propagator.CheckpointOverrides{}},
		"criu as it is":        {request: over(m{"criu_opts": `{"leave_running":true,"tcpClose":true}`}), want: &propagator.CheckpointOverrides{CriuOpts: `{"leave_running":true,"tcpClose":true}`}},
		"criu without options": {request: over(m{"criu_opts": ` {} `}), want: &propagator.CheckpointOverrides{CriuOpts: ` {} `}},
		"criu otherwise":       {request: over(m{"criu_opts": `{"tcp_established":true}`}), refused: "overrides.criu_opts: tcp_established can only be false"},
		"criu leaves nothing":  {request: over(m{"criu_opts": `{"leaveRunning":false}`}), refused: "overrides.criu_opts: leaveRunning can only be true"},
		"criu unknown":         {request: over(m{"criu_opts": `{"ghost_limit":5}`}), refused: "overrides.criu_opts: ghost_limit"},
		"criu no object":       {request: over(m{"criu_opts": `--leave-running`}), refused: "overrides.criu_opts"},
		"criu twice":           {request: over(m{"criu_opts": `{} {}`}), refused: "overrides.criu_opts"},
		"an unknown override":  {request: over(m{"colour": "red"}), refused: "colour"},
		"of another type":      {request: over(m{"streams": "many"}), refused: "streams"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, nil)
			cluster := r.pod("c", "uid")
			tc.request["pod_id"] = "uid"
			code, _, body := r.send("POST", "/v1/checkpoint/pod", tc.request)
			w := r.poll(work.RoleHelper, cluster, 0)
			if tc.refused != "" {
				assert.Equal(t, 400, code, body)
				assert.Contains(t, body, tc.refused)
				assert.Nil(t, w, "nothing is begun")
				return
			}
			require.Equal(t, 200, code, body)
			require.NotNil(t, w)
			assert.Equal(t, tc.want, w.Checkpoint.Overrides)
			assert.Empty(t, w.Checkpoint.RuncRoot, "the node knows its own")
		})
	}
}

func TestEachOptionOfARestoreIsTakenOrRefusedByName(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.pod("c", "uid")
	source := r.checkpoint(cluster, "uid")
	type m = map[string]any
	for name, tc := range map[string]struct {
		overrides any
		podName   string
		refused   string
	}{
		"nothing":        {nil, "", ""},
		"pod name":       {m{"pod_name": "again"}, "again", ""},
		"no pod name":    {m{"pod_name": nil, "criu_opts": nil}, "", ""},
		"bad pod name":   {m{"pod_name": "A_b"}, "", "overrides.pod_name"},
		"criu as it is":  {m{"criu_opts": `{"tcp_close":true}`}, "", ""},
		"criu otherwise": {m{"criu_opts": `{"tcp_close":false}`}, "", "overrides.criu_opts: tcp_close"},
		"criu unknown":   {m{"criu_opts": `{"log_level":4}`}, "", "overrides.criu_opts: log_level"},
		"unknown":        {m{"compression": "gzip"}, "", "compression"},
	} {
		code, _, body := r.send("POST", "/v1/restore/pod", m{"action_id": source, "reason": "manual", "overrides": tc.overrides})
		w := r.poll(work.RoleManager, cluster, 0)
		if tc.refused != "" {
			assert.Equal(t, 400, code, "%s: %s", name, body)
			assert.Contains(t, body, tc.refused, name)
			assert.Nil(t, w, name)
			continue
		}
		require.Equal(t, 200, code, "%s: %s", name, body)
		require.NotNil(t, w, name)
		assert.Equal(t, tc.podName, w.Restore.PodName, name)
	}
}

// An asynchronous checkpoint says that its pod runs on before the archives are stored, and is ready only then.
func TestADumpIsToldOfBeforeItsUpload(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.pod("c", "uid")
	id, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "uid", Overrides: &propagator.CheckpointOverrides{Asynchronous: true}})
	require.NoError(t, err)
	w := r.poll(work.RoleHelper, cluster, time.Second)
	helper, err := client.New(startHTTP(t, r.server.Handler()), canary, work.RoleHelper, cluster, node, nil)
	require.NoError(t, err)
	require.NoError(t, helper.Dumped(t.Context(), w.ActionID))
	require.Equal(t, propagator.StatusCheckpointCreated, r.status(id).Status)
}
