package runtime

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/archive"
	"github.com/cedana/cedana-e2e/targets/local/standin/refusal"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/local/standin/worker"
)

// anywhere is for checkpoints that can be restored anywhere.
func anywhere(work.ContainerCheckpoint) error { return nil }

// serving answers with one checkpoint; the first failures requests get a 503.
func serving(t *testing.T, manifest work.Manifest, blob []byte, failures int32) *worker.Client {
	t.Helper()
	var failed atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer a-token":
			http.Error(w, `{"message":"no token"}`, http.StatusUnauthorized)
		case failed.Add(1) <= failures:
			http.Error(w, `{"message":"starting"}`, http.StatusServiceUnavailable)
		case strings.HasSuffix(r.URL.Path, "/checkpoints/the-action/manifest"):
			_ = json.NewEncoder(w).Encode(manifest)
		case strings.HasSuffix(r.URL.Path, "/blobs/checkpoints/1/web.tar"):
			_, _ = w.Write(blob)
		default:
			http.Error(w, `{"message":"nothing here"}`, http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	c, err := worker.New(server.URL, "a-token", work.RoleHelper, "cluster", "node", nil)
	require.NoError(t, err)
	return c
}

func packed(t *testing.T) ([]byte, work.Manifest) {
	t.Helper()
	c := archive.Checkpoint{Dir: t.TempDir()}
	require.NoError(t, os.Mkdir(c.Path(archive.ImagesDir), 0o700))
	require.NoError(t, os.WriteFile(c.Path(archive.ImagesDir+"/inventory.img"), []byte("image"), 0o600))
	p, err := c.Pack()
	require.NoError(t, err)
	blob, err := io.ReadAll(p.Open(archive.CompressionNone))
	require.NoError(t, err)
	sum := sha256.Sum256(blob)
	return blob, work.Manifest{ActionID: "the-action", Containers: []work.ContainerCheckpoint{
		{Container: "web", Path: "checkpoints/1/web.tar", SHA256: hex.EncodeToString(sum[:]), Size: int64(len(blob))},
	}}
}

func TestArchiveIsFetchedAlsoFromAPropagatorThatIsStarting(t *testing.T) {
	t.Parallel()
	blob, manifest := packed(t)
	c, err := fetch(t.Context(), serving(t, manifest, blob, 2), Target{Checkpoint: "the-action", Container: "web"}, filepath.Join(t.TempDir(), "a"), anywhere)
	require.NoError(t, err)
	data, err := os.ReadFile(c.Path(archive.ImagesDir + "/inventory.img"))
	require.NoError(t, err)
	require.Equal(t, "image", string(data))
}

func TestADamagedArchiveIsRefused(t *testing.T) {
	t.Parallel()
	blob, manifest := packed(t)
	damaged := bytes.Replace(blob, []byte("image"), []byte("imago"), 1)
	require.NotEqual(t, blob, damaged)
	_, err := fetchOnce(t.Context(), serving(t, manifest, damaged, 0), Target{Checkpoint: "the-action", Container: "web"}, filepath.Join(t.TempDir(), "a"), anywhere)
	require.ErrorContains(t, refusal.Coded(err), "ArchiveDamaged: ")
	require.ErrorContains(t, err, "checkpoints/1/web.tar")

	// Cut off in the store, so that it cannot even be unpacked; not on its way here.
	_, err = fetchOnce(t.Context(), serving(t, manifest, blob[:len(blob)/2], 0), Target{Checkpoint: "the-action", Container: "web"}, filepath.Join(t.TempDir(), "b"), anywhere)
	require.ErrorContains(t, refusal.Coded(err), "ArchiveDamaged: ")
}

func TestACheckpointThatCannotBeRestoredHereIsNotFetched(t *testing.T) {
	t.Parallel()
	_, manifest := packed(t)
	no := func(work.ContainerCheckpoint) error { return refusal.New(refusal.CPUFeatureMissing, "no such CPU") }
	_, err := fetch(t.Context(), serving(t, manifest, nil, 0), Target{Checkpoint: "the-action", Container: "web"}, filepath.Join(t.TempDir(), "a"), no)
	require.EqualError(t, err, "no such CPU")
}

func TestAContainerThatIsNotInTheCheckpointIsNamed(t *testing.T) {
	t.Parallel()
	blob, manifest := packed(t)
	_, err := fetch(t.Context(), serving(t, manifest, blob, 0), Target{Checkpoint: "the-action", Container: "db"}, filepath.Join(t.TempDir(), "a"), anywhere)
	require.ErrorIs(t, err, errNotInCheckpoint)
	require.ErrorContains(t, err, "web")
}
