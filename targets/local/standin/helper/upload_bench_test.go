package helper

import (
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/standin/archive"
	"github.com/cedana/cedana-e2e/targets/local/standin/server"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/local/standin/worker"
)

// BenchmarkUpload takes a dump of 64 MiB to a propagator on this machine.
func BenchmarkUpload(b *testing.B) {
	const size = 64 << 20
	c := archive.Checkpoint{Dir: b.TempDir()}
	random := make([]byte, size)
	_, err := io.ReadFull(rand.NewChaCha8([32]byte{}), random)
	require.NoError(b, err)
	require.NoError(b, os.Mkdir(c.Path(archive.ImagesDir), 0o700))
	require.NoError(b, os.WriteFile(c.Path(filepath.Join(archive.ImagesDir, "pages-1.img")), random, 0o600))
	s, err := server.Open(server.Config{Dir: b.TempDir(), Token: "a-token"})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	web := httptest.NewServer(s.Handler())
	b.Cleanup(web.Close)
	b.Cleanup(s.Stop)
	store, err := worker.New(web.URL, "a-token", work.RoleHelper, "cluster", "node", nil)
	require.NoError(b, err)
	packed, err := c.Pack()
	require.NoError(b, err)
	for _, compression := range []archive.Compression{archive.CompressionNone, archive.CompressionZstd, archive.CompressionLZ4} {
		b.Run(string(compression), func(b *testing.B) {
			b.SetBytes(size)
			before := processorTime(b)
			for b.Loop() {
				_, err := store.Put(b.Context(), "checkpoints/a.tar", packed.Size(compression), func() io.ReadCloser { return packed.Open(compression) })
				require.NoError(b, err)
			}
			b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// processorTime is what this process has had of the processors: it says more than the clock on a machine with other work.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
