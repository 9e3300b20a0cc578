package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/cedana/cedana-e2e/targets/local/standin/archive"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// What a request asks for beside the pod is done, or refused here by name: whoever asks for something must not take what
// is done in its place for it.

// checkKind refuses the kinds of checkpoint that there are elsewhere alone.
func checkKind(kind propagator.CheckpointKind) error {
	switch kind {
	case propagator.KindSimple:
		return nil
	case propagator.KindRootfs, propagator.KindRootfsOnly:
		return badRequest("kind %s is not supported by the local backend, which pushes no images: want %s", kind, propagator.KindSimple)
	}
	return badRequest("Invalid kind %.64q: want %s", kind, propagator.KindSimple)
}

// checkpointOverrides reads the overrides of a checkpoint; nil when there are none.
func checkpointOverrides(raw json.RawMessage) (*propagator.CheckpointOverrides, error) {
	if isNull(raw) {
		return nil, nil
	}
	var o propagator.CheckpointOverrides
	if err := decodeOverrides(raw, &o); err != nil {
		return nil, err
	}
	if _, err := archive.ParseCompression(o.Compression); err != nil {
		return nil, badRequest("Invalid overrides.compression: %v", err)
	}
	if o.Streams < 0 || o.Streams > 1 {
		return nil, badRequest("overrides.streams %d is not supported by the local backend, which sends an archive in one stream: want 0 or 1", o.Streams)
	}
	if o.Incremental {
		return nil, badRequest("overrides.incremental is not supported by the local backend, whose checkpoints are always whole")
	}
	if err := checkDirectory(o.Directory); err != nil {
		return nil, err
	}
	if err := checkCriuOpts(o.CriuOpts); err != nil {
		return nil, err
	}
	return &o, nil
}

// restoreOverrides reads the overrides of a restore.
func restoreOverrides(raw json.RawMessage) (propagator.RestoreOverrides, error) {
	var o propagator.RestoreOverrides
	if isNull(raw) {
		return o, nil
	}
	if err := decodeOverrides(raw, &o); err != nil {
		return o, err
	}
	if o.PodName != "" && !podNamePattern.MatchString(o.PodName) {
		return o, badRequest("Invalid overrides.pod_name %.64q: not a name that a pod can have", o.PodName)
	}
	return o, checkCriuOpts(o.CriuOpts)
}

func decodeOverrides(raw json.RawMessage, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return badRequest("Invalid overrides: %v", err)
	}
	return nil
}

// directoryScheme begins a directory in the propagator's own file store.
const directoryScheme = "cedana://"

// checkDirectory takes a directory of the propagator's file store. A path on the node would be lost with it, and there is
// no other storage.
func checkDirectory(directory string) error {
	if directory == "" {
		return nil
	}
	path, ok := strings.CutPrefix(directory, directoryScheme)
	if path = strings.TrimSuffix(path, "/"); !ok || path == "." || !fs.ValidPath(path) || len(path) > 512 {
		return badRequest("overrides.directory %.200q is not supported by the local backend, which keeps checkpoints at the propagator: want %sPATH",
			directory, directoryScheme)
	}
	return nil
}

// criuOptions are the options of CRIU by which this backend dumps and restores anyhow, with the values that it uses
// (package criu). Any other would change what a checkpoint is: tcp_established, say, cannot be restored under another
// address.
var criuOptions = map[string]bool{
	"leave_running": true, "file_locks": true, "ext_unix_sk": true, "tcp_close": true, "tcp_skip_in_flight": true,
	"tcp_established": false, "link_remap": false, "shell_job": false, "auto_dedup": false, "lazy_pages": false, "track_mem": false,
}

// checkCriuOpts takes CRIU's options as the JSON text of an object, in the spelling of CRIU's protocol (snake case) or
// that of protobuf's JSON (camel case).
func checkCriuOpts(text string) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	options := map[string]json.RawMessage{}
	decoder := json.NewDecoder(strings.NewReader(text))
	if err := decoder.Decode(&options); err != nil {
		return badRequest("Invalid overrides.criu_opts: want a JSON object as text: %v", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return badRequest("Invalid overrides.criu_opts: want one JSON object as text")
	}
	for name, raw := range options {
		always, known := criuOptions[snakeCase(name)]
		var asked bool
		if known && json.Unmarshal(raw, &asked) == nil && asked == always {
			continue
		}
		if known {
			return badRequest("overrides.criu_opts: %s can only be %t on the local backend, not %.64s", name, always, raw)
		}
		return badRequest("overrides.criu_opts: %.64s is not supported by the local backend: want %s", name, strings.Join(criuOptionNames(), ", "))
	}
	return nil
}

func criuOptionNames() []string {
	names := make([]string, 0, len(criuOptions))
	for name := range criuOptions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// snakeCase turns leaveRunning into leave_running.
func snakeCase(name string) string {
	var b strings.Builder
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}
