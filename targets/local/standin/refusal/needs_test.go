package refusal

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

func checkpoint(t *testing.T, platform string, n Needs) work.ContainerCheckpoint {
	t.Helper()
	info, err := json.Marshal(map[string]any{"kernel": "6.1", "needs": n})
	require.NoError(t, err)
	return work.ContainerCheckpoint{Container: "web", Platform: platform, Info: info}
}

func TestWhatAMachineLacksIsNamed(t *testing.T) {
	t.Parallel()
	own := Needs{Format: Format, CPUFeatures: CPUFeatures(), Memory: 64 << 20}
	other := own
	other.CPUFeatures = append(other.CPUFeatures, "NotYetMade")
	newer := own
	newer.Format++
	for _, c := range []struct {
		checkpoint work.ContainerCheckpoint
		limit      int64
		code       Code
		says       string
	}{
		{checkpoint(t, "linux/"+runtime.GOARCH, own), 0, "", ""},
		{checkpoint(t, "linux/"+runtime.GOARCH, own), 64 << 20, "", ""},
		{work.ContainerCheckpoint{Container: "web"}, 1, "", ""}, // of a program that did not tell
		{checkpoint(t, "linux/"+runtime.GOARCH, own), 32 << 20, MemoryLimitTooLow, "container web had 67108864 bytes of memory in use at its checkpoint, and its memory limit is now 33554432"},
		{checkpoint(t, "linux/"+runtime.GOARCH, other), 0, CPUFeatureMissing, "the CPU of node n lacks NotYetMade"},
		{checkpoint(t, "linux/s390x", own), 0, OtherArchitecture, "architecture s390x, and node n is " + runtime.GOARCH},
		{checkpoint(t, "linux/"+runtime.GOARCH, newer), 0, FormatTooNew, fmt.Sprintf("format %d, and this version restores up to format %d", Format+1, Format)},
		{work.ContainerCheckpoint{Container: "web", Info: []byte(`{"needs": "other than today"}`)}, 0, FormatTooNew, "cannot be read by this version"},
	} {
		err := Machine(c.checkpoint, "n", c.limit)
		if c.code == "" {
			require.NoError(t, err)
			continue
		}
		require.True(t, Is(err), "%v", err)
		require.ErrorContains(t, Coded(err), string(c.code)+": ")
		require.ErrorContains(t, err, c.says)
	}
}

func TestAnArchitectureIsCalledAsKubernetesCallsIt(t *testing.T) {
	t.Parallel()
	for platform, want := range map[string]string{"linux/x86_64": "amd64", "linux/aarch64": "arm64", "linux/riscv64": "riscv64", "linux": "", "": ""} {
		require.Equal(t, want, Architecture(work.ContainerCheckpoint{Platform: platform}), platform)
	}
}

func TestACodeIsTheFirstWordHoweverDeepTheRefusal(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("restore pod p: %w", fmt.Errorf("restore container c: %w", New(ImageChanged, "image %s", "a")))
	require.EqualError(t, Coded(err), "ImageChanged: restore pod p: restore container c: image a")
	plain := errors.New("out of luck")
	require.Equal(t, plain, Coded(plain))
	require.NoError(t, Coded(nil))
}
